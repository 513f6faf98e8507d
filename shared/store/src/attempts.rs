//! Counters of attempts: charged before the work, given back after a success.

use std::time::Duration;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure, Update,
};
use domain::Timestamp;
use domain::attempts::{Budget, CounterKey, Failures, Verdict};
use jiff::SignedDuration;

use crate::Store;
use crate::attributes::Item;
use crate::error::StoreError;
use crate::rows::counter;
use crate::writes::{self, WriteOutcome};

/// The most writes of a charge, if others charge the same counter in between.
const WRITES: u32 = 4;

/// The outcome of a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Charge {
    /// The attempt is admitted and counted.
    Admitted(Charged),
    /// Refused. The next attempt is admitted after this time.
    Refused(Duration),
    /// Refused: too many failures in a row, until [`Store::give_back`] ends them.
    Spent,
}

/// A charge that can be given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charged {
    counter: CounterKey,
    cost: SignedDuration,
    /// The attempts since the last success with this one, if the budget limits them.
    pub in_a_row: Failures,
}

impl Charged {
    /// Returns a charge of nothing: to give it back only ends the failures in a row.
    #[must_use]
    pub fn nothing(counter: CounterKey) -> Self {
        Self {
            counter,
            cost: SignedDuration::ZERO,
            in_a_row: Failures::default(),
        }
    }
}

impl Store {
    /// Counts an attempt, if the counter's budget admits it.
    ///
    /// `UpdateItem` of Attempts (`counter`), which moves the TAT on, only if the budget
    /// still admits the attempt; a refused write returns the counter, so nothing is read.
    /// One write as a rule, two in a burst, one for a refusal; more only if others charge
    /// the counter in between. A replay charges twice: it admits less, never more.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown. Then the attempt
    /// must not be made.
    pub async fn charge(
        &self,
        counter: CounterKey,
        budget: &Budget,
        now: Timestamp,
    ) -> Result<Charge, StoreError> {
        self.charge_from(counter, budget, None, now).await
    }

    /// As [`Store::charge`], and remembers the country of the attempt with those of the others
    /// in a row.
    ///
    /// # Errors
    /// As [`Store::charge`].
    pub async fn charge_from(
        &self,
        counter: CounterKey,
        budget: &Budget,
        country: Option<&str>,
        now: Timestamp,
    ) -> Result<Charge, StoreError> {
        let mut verdict = Verdict::FromNow(budget.interval);
        for _ in 0..WRITES {
            let cost = match verdict {
                Verdict::FromNow(by) | Verdict::Later(by) | Verdict::AfterPause(by) => by,
                Verdict::Refused(wait) => return Ok(Charge::Refused(wait.unsigned_abs())),
                Verdict::Spent => return Ok(Charge::Spent),
            };
            let table = &self.tables.attempts;
            let charging = (&counter, budget, country);
            let Some(update) = counter::charge(table, charging, verdict, now) else {
                break;
            };
            match self.try_charge(update).await? {
                Ok(written) => {
                    return Ok(Charge::Admitted(Charged {
                        counter,
                        cost,
                        in_a_row: counter::failures(&written)?,
                    }));
                }
                Err(None) => verdict = Verdict::FromNow(budget.interval),
                Err(Some(item)) => verdict = budget.verdict(&counter::from_item(&item)?, now),
            }
        }
        Err(StoreError::Contended)
    }

    /// Takes a charge back, and ends the counter's failures in a row.
    ///
    /// `UpdateItem` of Attempts (`counter`), only if the counter exists; `Stale` if not. A
    /// replay gives back twice, so call it only after a success.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn give_back(&self, charged: &Charged) -> Result<WriteOutcome, StoreError> {
        let table = &self.tables.attempts;
        let update = counter::give_back(table, &charged.counter, charged.cost);
        writes::update_once(&self.client, update).await
    }

    /// Returns what the update wrote, or the item that failed its condition.
    async fn try_charge(&self, update: Update) -> Result<Result<Item, Option<Item>>, StoreError> {
        let sent = self
            .client
            .update_item()
            .table_name(update.table_name)
            .set_key(Some(update.key))
            .update_expression(update.update_expression)
            .set_condition_expression(update.condition_expression)
            .set_expression_attribute_values(update.expression_attribute_values)
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .send()
            .await;
        match sent {
            Ok(output) => Ok(Ok(output.attributes.unwrap_or_default())),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    Ok(Err(failed.item.clone()))
                }
                _ => Err(StoreError::from_sdk("UpdateItem", error)),
            },
        }
    }
}
