//! Conditional writes: of one item, or of several in a transaction.

use std::borrow::Cow;
use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, TransactWriteItem, Update,
};

use crate::attributes::{Item, built};
use crate::error::{StoreError, is_throttle};
use crate::retry::{Attempt, retry};

/// The outcome of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It was written.
    Done,
    /// The condition failed and nothing was written: the rows are no longer as the
    /// caller read them. Read them again before deciding anything.
    Stale,
}

/// The condition of a write, with the values of its placeholders.
pub(crate) struct Condition {
    pub(crate) expression: Cow<'static, str>,
    /// Attribute names that are reserved words, by placeholder.
    pub(crate) names: &'static [(&'static str, &'static str)],
    pub(crate) values: Vec<(&'static str, AttributeValue)>,
}

impl Condition {
    /// Returns the check of this condition on a row that the transaction does not
    /// write.
    pub(crate) fn check(self, table: &str, key: Item) -> ConditionCheck {
        let check = ConditionCheck::builder()
            .table_name(table)
            .set_key(Some(key))
            .condition_expression(self.expression.clone())
            .set_expression_attribute_names(self.names())
            .set_expression_attribute_values(self.into_values());
        built(check.build())
    }

    /// Returns the put of an item under this condition.
    pub(crate) fn put(self, table: &str, item: Item) -> Put {
        let put = Put::builder()
            .table_name(table)
            .set_item(Some(item))
            .condition_expression(self.expression.clone())
            .set_expression_attribute_names(self.names())
            .set_expression_attribute_values(self.into_values());
        built(put.build())
    }

    /// Returns the delete of a row under this condition.
    pub(crate) fn delete(self, table: &str, key: Item) -> Delete {
        let delete = Delete::builder()
            .table_name(table)
            .set_key(Some(key))
            .condition_expression(self.expression.clone())
            .set_expression_attribute_names(self.names())
            .set_expression_attribute_values(self.into_values());
        built(delete.build())
    }

    /// Begins an update of a row under this condition.
    pub(crate) fn update(self, table: &str, key: Item) -> UpdateBuilder {
        Update::builder()
            .table_name(table)
            .set_key(Some(key))
            .condition_expression(self.expression.clone())
            .set_expression_attribute_names(self.names())
            .set_expression_attribute_values(self.into_values())
    }

    fn names(&self) -> Option<HashMap<String, String>> {
        let names = self.names.iter();
        let names: HashMap<_, _> = names
            .map(|(placeholder, name)| ((*placeholder).to_owned(), (*name).to_owned()))
            .collect();
        // DynamoDB rejects an empty map.
        (!names.is_empty()).then_some(names)
    }

    fn into_values(self) -> Option<Item> {
        let values = self.values.into_iter();
        let values: Item = values
            .map(|(placeholder, value)| (placeholder.to_owned(), value))
            .collect();
        (!values.is_empty()).then_some(values)
    }
}

/// Writes one item: `UpdateItem`. A row that is busy in a transaction gives
/// [`StoreError::Contended`]; the write is not retried.
pub(crate) async fn update_once(
    client: &Client,
    update: Update,
) -> Result<WriteOutcome, StoreError> {
    let sent = client
        .update_item()
        .table_name(update.table_name)
        .set_key(Some(update.key))
        .update_expression(update.update_expression)
        .set_condition_expression(update.condition_expression)
        .set_expression_attribute_names(update.expression_attribute_names)
        .set_expression_attribute_values(update.expression_attribute_values)
        .send()
        .await;
    match sent {
        Ok(_) => Ok(WriteOutcome::Done),
        Err(error) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(WriteOutcome::Stale),
            Some(UpdateItemError::TransactionConflictException(_)) => Err(StoreError::Contended),
            _ => Err(StoreError::from_sdk("UpdateItem", error)),
        },
    }
}

/// Writes one item: as [`update_once`], retried while the row is busy.
pub(crate) async fn update(client: &Client, update: &Update) -> Result<WriteOutcome, StoreError> {
    retry((), |()| async {
        retry_if_busy(update_once(client, update.clone()).await)
    })
    .await
}

/// Writes one item: `PutItem`, retried while the row is busy in a transaction.
pub(crate) async fn put(client: &Client, put: &Put) -> Result<WriteOutcome, StoreError> {
    retry((), |()| async {
        let put = put.clone();
        let sent = client
            .put_item()
            .table_name(put.table_name)
            .set_item(Some(put.item))
            .set_condition_expression(put.condition_expression)
            .set_expression_attribute_names(put.expression_attribute_names)
            .set_expression_attribute_values(put.expression_attribute_values)
            .send()
            .await;
        retry_if_busy(match sent {
            Ok(_) => Ok(WriteOutcome::Done),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(WriteOutcome::Stale),
                Some(PutItemError::TransactionConflictException(_)) => Err(StoreError::Contended),
                _ => Err(StoreError::from_sdk("PutItem", error)),
            },
        })
    })
    .await
}

fn retry_if_busy<T>(outcome: Result<T, StoreError>) -> Attempt<(), Result<T, StoreError>> {
    match outcome {
        Err(StoreError::Contended) => Attempt::Retry((), outcome),
        _ => Attempt::Final(outcome),
    }
}

/// One write of a transaction.
pub(crate) enum Write {
    Check(ConditionCheck),
    Put(Put),
    Update(Update),
    Delete(Delete),
}

impl From<Write> for TransactWriteItem {
    fn from(write: Write) -> Self {
        let item = Self::builder();
        match write {
            Write::Check(check) => item.condition_check(check),
            Write::Put(put) => item.put(put),
            Write::Update(update) => item.update(update),
            Write::Delete(delete) => item.delete(delete),
        }
        .build()
    }
}

/// Makes all writes or none: `TransactWriteItems`. Retried while other writers are
/// in the way, but not when a condition fails.
///
/// DynamoDB remembers `token` for ten minutes: a replay with it changes nothing. It
/// has at most 36 characters.
pub(crate) async fn transact(
    client: &Client,
    writes: impl IntoIterator<Item = Write>,
    token: String,
) -> Result<WriteOutcome, StoreError> {
    let items: Vec<TransactWriteItem> = writes.into_iter().map(Into::into).collect();
    retry((), |()| async {
        let sent = client
            .transact_write_items()
            .set_transact_items(Some(items.clone()))
            .client_request_token(&token)
            .send()
            .await;
        match sent {
            Ok(_) => Attempt::Final(Ok(WriteOutcome::Done)),
            Err(error) => failed_transaction(error),
        }
    })
    .await
}

fn failed_transaction(
    error: SdkError<TransactWriteItemsError>,
) -> Attempt<(), Result<WriteOutcome, StoreError>> {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
            let reasons = cancelled.cancellation_reasons();
            let codes: Vec<&str> = reasons.iter().filter_map(|it| it.code()).collect();
            // One item's reason may be a conflict and another's a failed condition.
            // The failed condition counts: the transaction can't succeed any more.
            if codes.contains(&"ConditionalCheckFailed") {
                return Attempt::Final(Ok(WriteOutcome::Stale));
            }
            if codes.iter().any(|code| is_throttle(code)) {
                return Attempt::Retry((), Err(StoreError::Throttled));
            }
            if codes.contains(&"TransactionConflict") {
                return Attempt::Retry((), Err(StoreError::Contended));
            }
        }
        // An earlier attempt of the SDK with the same token is still running.
        Some(TransactWriteItemsError::TransactionInProgressException(_)) => {
            return Attempt::Retry((), Err(StoreError::Contended));
        }
        _ => {}
    }
    Attempt::Final(Err(StoreError::from_sdk("TransactWriteItems", error)))
}
