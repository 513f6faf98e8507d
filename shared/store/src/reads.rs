//! Consistent reads: single items, whole queries, and batches.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::KeysAndAttributes;

use crate::attributes::{Item, built};
use crate::error::StoreError;
use crate::retry::{Attempt, retry};

/// Reads one item: `GetItem`, consistent.
pub(crate) async fn get(
    client: &Client,
    table: &str,
    key: Item,
) -> Result<Option<Item>, StoreError> {
    let output = client
        .get_item()
        .table_name(table)
        .set_key(Some(key))
        .consistent_read(true)
        .send()
        .await
        .map_err(|error| StoreError::from_sdk("GetItem", error))?;
    Ok(output.item)
}

/// Reads all items of a query: consistent, page after page to the end.
pub(crate) async fn query_all(query: QueryFluentBuilder) -> Result<Vec<Item>, StoreError> {
    let mut items = Vec::new();
    let mut start = None;
    loop {
        let page = query.clone().consistent_read(true);
        let page = page.set_exclusive_start_key(start);
        // Boxed: the SDK's future is large, and this one also keeps the query for
        // the next page.
        let output = Box::pin(page.send())
            .await
            .map_err(|error| StoreError::from_sdk("Query", error))?;
        items.extend(output.items.unwrap_or_default());
        start = output.last_evaluated_key;
        if start.is_none() {
            return Ok(items);
        }
    }
}

/// Returns the keys of one table for [`batch_get`], to be read consistently.
pub(crate) fn keys(keys: Vec<Item>) -> KeysAndAttributes {
    built(
        KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .consistent_read(true)
            .build(),
    )
}

/// Reads items by their keys and returns those that exist, by table: `BatchGetItem`,
/// repeated for the keys that come back unprocessed.
///
/// The items need not be of one moment: DynamoDB reads each one on its own.
pub(crate) async fn batch_get(
    client: &Client,
    keys: HashMap<String, KeysAndAttributes>,
) -> Result<HashMap<String, Vec<Item>>, StoreError> {
    let none: HashMap<String, Vec<Item>> = HashMap::new();
    retry((keys, none), |(keys, mut found)| async move {
        let request = client.batch_get_item().set_request_items(Some(keys));
        let output = match request.send().await {
            Ok(output) => output,
            Err(error) => return Attempt::Final(Err(StoreError::from_sdk("BatchGetItem", error))),
        };
        for (table, items) in output.responses.unwrap_or_default() {
            found.entry(table).or_default().extend(items);
        }
        // A throttled table answers with some of the items. The rest must be read,
        // too: without its row a device would look like one that does not exist.
        match output.unprocessed_keys {
            Some(rest) if !rest.is_empty() => {
                Attempt::Retry((rest, found), Err(StoreError::Throttled))
            }
            _ => Attempt::Final(Ok(found)),
        }
    })
    .await
}
