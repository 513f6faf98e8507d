//! The embedded `DynamoDB`, called in process by the bytes that the SDK sends.

use std::path::Path;

use dynoxide::{Database, DynoxideError, ImportOptions, Item, streams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::tables;

/// One database with the tables of the template.
#[derive(Clone)]
pub struct Engine {
    database: Database,
}

/// An answer of an AWS service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceResponse {
    /// The HTTP status.
    pub status: u16,
    /// The JSON of the body.
    pub body: String,
}

impl ServiceResponse {
    /// Returns whether the call succeeded.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.status == 200
    }

    /// Returns an error of the service.
    #[must_use]
    pub fn error(status: u16, code: &str) -> Self {
        let body = json!({
            "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"),
            "message": "injected by a test",
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
    /// Returns an engine with empty tables.
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

    /// Returns an engine with the contents of a file that [`Engine::save`] wrote.
    #[must_use]
    pub fn from_saved(path: &Path) -> Self {
        let database = Database::memory().expect("memory for a database");
        let path = path.to_str().expect("a path in UTF-8");
        database.restore_from(path).expect("a file that was saved");
        Self { database }
    }

    /// Writes everything to a file that must not exist yet.
    pub fn save(&self, path: &Path) {
        let path = path.to_str().expect("a path in UTF-8");
        self.database
            .vacuum_into(path)
            .expect("a file that can be written");
    }

    /// Answers one call.
    ///
    /// # Panics
    /// On an operation that the product does not use.
    #[must_use]
    pub fn answer(&self, operation: &str, body: &str) -> ServiceResponse {
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
            _ => panic!("{operation} is not an operation that the product uses"),
        };
        match answered {
            Ok(body) => ServiceResponse { status: 200, body },
            Err(error) => ServiceResponse {
                status: error.status_code(),
                body: error.to_json(),
            },
        }
    }

    /// Returns the row with this key.
    #[must_use]
    pub fn row(&self, table: &str, key: &Value) -> Option<Value> {
        let get = json!({ "TableName": table, "Key": key, "ConsistentRead": true });
        let answer = self.answer("GetItem", &get.to_string());
        assert!(answer.is_success(), "{}", answer.body);
        let mut answer: Value = serde_json::from_str(&answer.body).expect("answers are JSON");
        Some(answer["Item"].take()).filter(Value::is_object)
    }

    /// Puts many rows at once, without conditions and without stream records.
    pub fn put_all(&self, table: &str, items: &[Value]) {
        let items: Vec<Item> = items
            .iter()
            .map(|item| serde_json::from_value(item.clone()).expect("a well-formed row"))
            .collect();
        let put = self
            .database
            .import_items(table, items, ImportOptions::default());
        put.expect("a table that exists");
    }

    /// Deletes the row with this key, without conditions.
    pub fn delete(&self, table: &str, key: &Value) {
        let delete = json!({ "TableName": table, "Key": key }).to_string();
        let done = self.answer("DeleteItem", &delete);
        assert!(done.is_success(), "{}", done.body);
    }

    /// Returns every row of a table.
    #[must_use]
    pub fn rows(&self, table: &str) -> Vec<Item> {
        let scan = json!({ "TableName": table, "ConsistentRead": true }).to_string();
        let scan = serde_json::from_str(&scan).expect("a well-formed scan");
        let answer = self.database.scan(scan).expect("a table that exists");
        assert!(answer.last_evaluated_key.is_none(), "one page is enough");
        answer.items.unwrap_or_default()
    }

    /// Returns the records of a table's stream in the order of the writes: all of
    /// them, or those after a sequence number.
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
            .map(|record| serde_json::to_value(record).expect("records are JSON"))
            .collect()
    }

    /// Puts a row, without conditions.
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
    Ok(serde_json::to_string(&answer).expect("answers are JSON"))
}
