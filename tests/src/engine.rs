//! The embedded `DynamoDB`, called in process by the bytes that the SDK sends.

use std::path::Path;

use dynoxide::{Database, DynoxideError, ImportOptions, Item, streams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::tables;

/// An engine of its own, with the tables of the template.
#[derive(Clone)]
pub struct Engine {
    database: Database,
}

/// What comes back over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The JSON of the body.
    pub body: String,
}

impl Answer {
    /// Whether the call did what it was asked.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.status == 200
    }

    /// An error of the service, by its code.
    #[must_use]
    pub fn error(status: u16, code: &str) -> Self {
        let body = json!({
            "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"),
            "message": "made by a test",
        });
        Self {
            status,
            body: body.to_string(),
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine(…)")
    }
}

impl Engine {
    /// A new engine with empty tables.
    #[must_use]
    pub fn new() -> Self {
        let engine = Self {
            database: Database::memory().expect("memory for a database"),
        };
        for definition in tables::definitions() {
            let created = engine.answer("CreateTable", &definition.to_string());
            assert!(created.is_success(), "{}", created.body);
        }
        engine
    }

    /// A new engine with what was saved.
    #[must_use]
    pub fn from_saved(path: &Path) -> Self {
        let database = Database::memory().expect("memory for a database");
        let path = path.to_str().expect("a path that is text");
        database.restore_from(path).expect("what was saved");
        Self { database }
    }

    /// Writes everything to a file that is not there yet.
    pub fn save(&self, path: &Path) {
        let path = path.to_str().expect("a path that is text");
        self.database.vacuum_into(path).expect("room for a file");
    }

    /// Answers one call.
    ///
    /// # Panics
    /// On an operation that the product has no use for.
    #[must_use]
    pub fn answer(&self, operation: &str, body: &str) -> Answer {
        let db = &self.database;
        let answered = match operation {
            "GetItem" => run(body, |call| db.get_item(call)),
            "PutItem" => run(body, |call| db.put_item(call)),
            "UpdateItem" => run(body, |call| db.update_item(call)),
            "DeleteItem" => run(body, |call| db.delete_item(call)),
            "Query" => run(body, |call| db.query(call)),
            "Scan" => run(body, |call| db.scan(call)),
            "BatchGetItem" => run(body, |call| db.batch_get_item(call)),
            "BatchWriteItem" => run(body, |call| db.batch_write_item(call)),
            "TransactWriteItems" => run(body, |call| db.transact_write_items(call)),
            "CreateTable" => run(body, |call| db.create_table(call)),
            _ => panic!("{operation} is not an operation of the product"),
        };
        match answered {
            Ok(body) => Answer { status: 200, body },
            Err(error) => Answer {
                status: error.status_code(),
                body: error.to_json(),
            },
        }
    }

    /// The row with this key.
    #[must_use]
    pub fn row(&self, table: &str, key: &Value) -> Option<Value> {
        let get = json!({ "TableName": table, "Key": key, "ConsistentRead": true });
        let answer = self.answer("GetItem", &get.to_string());
        assert!(answer.is_success(), "{}", answer.body);
        let mut answer: Value = serde_json::from_str(&answer.body).expect("an answer is JSON");
        Some(answer["Item"].take()).filter(Value::is_object)
    }

    /// Puts many rows at once as they are. The table's stream does not hear of them.
    pub fn put_all(&self, table: &str, items: &[Value]) {
        let items: Vec<Item> = items
            .iter()
            .map(|item| serde_json::from_value(item.clone()).expect("a well-formed row"))
            .collect();
        let put = self
            .database
            .import_items(table, items, ImportOptions::default());
        put.expect("a table that is there");
    }

    /// Takes the row with this key away, past every rule of the product.
    pub fn delete(&self, table: &str, key: &Value) {
        let delete = json!({ "TableName": table, "Key": key }).to_string();
        let done = self.answer("DeleteItem", &delete);
        assert!(done.is_success(), "{}", done.body);
    }

    /// Every row of a table.
    #[must_use]
    pub fn rows(&self, table: &str) -> Vec<Item> {
        let scan = json!({ "TableName": table, "ConsistentRead": true }).to_string();
        let scan = serde_json::from_str(&scan).expect("a well-formed scan");
        let answer = self.database.scan(scan).expect("a table that is there");
        assert!(answer.last_evaluated_key.is_none(), "one page is enough");
        answer.items.unwrap_or_default()
    }

    /// The records of a table's stream, in the order of the writes: all of them, or
    /// those after the one with this number.
    #[must_use]
    pub fn stream(&self, table: &str, after: Option<&str>) -> Vec<Value> {
        let mut from = json!({
            "StreamArn": streams::stream_arn(table, "stream"),
            "ShardId": streams::shard_id(table),
            "ShardIteratorType": "TRIM_HORIZON",
        });
        if let Some(after) = after {
            from["ShardIteratorType"] = "AFTER_SEQUENCE_NUMBER".into();
            from["SequenceNumber"] = after.into();
        }
        let from = serde_json::from_value(from).expect("a well-formed call");
        let from = self.database.get_shard_iterator(from).expect("a stream");
        let get = json!({ "ShardIterator": from.shard_iterator });
        let get = serde_json::from_value(get).expect("a well-formed call");
        let records = self.database.get_records(get).expect("a stream").records;
        assert!(records.len() < 1_000, "one page is enough");
        let records = records.iter();
        records
            .map(|record| serde_json::to_value(record).expect("a record is JSON"))
            .collect()
    }

    /// Puts a row as it is, past every rule of the product.
    pub fn put(&self, table: &str, item: &Value) {
        let put = json!({ "TableName": table, "Item": item }).to_string();
        let done = self.answer("PutItem", &put);
        assert!(done.is_success(), "{}", done.body);
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

fn run<Q: DeserializeOwned, A: Serialize>(
    body: &str,
    call: impl FnOnce(Q) -> Result<A, DynoxideError>,
) -> Result<String, DynoxideError> {
    let request = serde_json::from_str(body)
        .map_err(|error| DynoxideError::ValidationException(error.to_string()))?;
    let answer = call(request)?;
    Ok(serde_json::to_string(&answer).expect("an answer is JSON"))
}
