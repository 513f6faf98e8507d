//! Notices: what the owner was notified of by mail, and the answers from the mails' links.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure};
use domain::{
    AccountId, Device, Limits, Notice, NoticeAnswer, NoticeHash, NoticeId, NoticeToken, SignOut,
    Timestamp,
};

use crate::attributes::{WRITE_SIGN_OUT, string};
use crate::error::StoreError;
use crate::rows::{device, notice, receipt};
use crate::writes::{self, Write, WriteOutcome};
use crate::{Store, reads};

/// A page of notices, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticePage {
    /// The notices.
    pub notices: Vec<Notice>,
    /// The notice after which the next page begins; `None` on the last page.
    pub next: Option<NoticeId>,
}

/// The outcome of [`Store::record_notice`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// Written. Holds the notice as it is stored.
    Written(Box<Notice>),
    /// Its mail was queued before.
    QueuedBefore,
    /// Another attempt has the lease, and may be about to queue the mail.
    InProgress,
}

impl Store {
    /// Writes a notice whose mail is to be queued, with the hash of its token, and takes the
    /// lease on queuing it until `leased_until`.
    ///
    /// `UpdateItem` of Notices (`account_id`, `notice_id`), only if the row does not say that
    /// the mail was queued, and no other attempt has the lease at `now`. After a crash it is
    /// written again, with another token: then both work, and reference and details are those
    /// of the first time. A replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn record_notice(
        &self,
        notice: &Notice,
        hash: &NoticeHash,
        (now, leased_until): (Timestamp, Timestamp),
    ) -> Result<Recorded, StoreError> {
        let lease = (now, leased_until);
        let update = notice::record(&self.tables.notices, notice, hash, lease);
        let sent = self
            .client
            .update_item()
            .table_name(update.table_name)
            .set_key(Some(update.key))
            .update_expression(update.update_expression)
            .set_condition_expression(update.condition_expression)
            .set_expression_attribute_names(update.expression_attribute_names)
            .set_expression_attribute_values(update.expression_attribute_values)
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .send()
            .await;
        match sent {
            Ok(output) => {
                let item = output.attributes.unwrap_or_default();
                let notice = notice::from_item(&item)?.notice;
                Ok(Recorded::Written(Box::new(notice)))
            }
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                    let is_queued = failed.item.as_ref().is_some_and(notice::is_queued);
                    Ok(if is_queued {
                        Recorded::QueuedBefore
                    } else {
                        Recorded::InProgress
                    })
                }
                _ => Err(StoreError::from_sdk("UpdateItem", error)),
            },
        }
    }

    /// Remembers that the mail of a notice was queued, so that it is not queued again.
    ///
    /// `UpdateItem` of Notices (`account_id`, `notice_id`), only if the row exists. A replay
    /// changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn notice_queued(&self, notice: &Notice, now: Timestamp) -> Result<(), StoreError> {
        let update = notice::mark_queued(&self.tables.notices, notice, now);
        writes::update(&self.client, &update).await.map(|_| ())
    }

    /// Remembers that the mail of a notice came back; `Stale` if there is no such notice.
    ///
    /// `UpdateItem` of Notices (`account_id`, `notice_id`), only if the row exists. A replay
    /// changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn notice_returned(
        &self,
        account: AccountId,
        notice: NoticeId,
        now: Timestamp,
    ) -> Result<WriteOutcome, StoreError> {
        let update = notice::mark_returned(&self.tables.notices, account, notice, now);
        writes::update(&self.client, &update).await
    }

    /// Returns a page of the notices of an account: also one whose mail was not queued yet,
    /// because it may be under way.
    ///
    /// One `Query` of Notices (`account_id`), consistent, the newest first.
    ///
    /// # Errors
    /// [`StoreError`] when the read failed.
    pub async fn notices(
        &self,
        account: AccountId,
        after: Option<NoticeId>,
        limit: i32,
    ) -> Result<NoticePage, StoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.tables.notices)
            .key_condition_expression("account_id = :account")
            .expression_attribute_values(":account", string(account))
            .scan_index_forward(false)
            .consistent_read(true)
            .limit(limit)
            .set_exclusive_start_key(after.map(|after| notice::key(account, after)));
        let output = query
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("Query", error))?;
        let rows = output.items.unwrap_or_default();
        let rows: Vec<notice::Row> = rows
            .iter()
            .map(notice::from_item)
            .collect::<Result<_, _>>()?;
        let next = output.last_evaluated_key.is_some();
        Ok(NoticePage {
            next: rows.last().filter(|_| next).map(|row| row.notice.id),
            notices: rows.into_iter().map(|row| row.notice).collect(),
        })
    }

    /// Returns the notice of a token; `None` if there is none, the token is not one of its
    /// own, it is too old, or it was answered.
    ///
    /// `GetItem` of Notices (`account_id`, `notice_id`), consistent.
    ///
    /// # Errors
    /// [`StoreError`] when the read failed.
    pub async fn notice_of_token(
        &self,
        token: &NoticeToken,
        now: Timestamp,
    ) -> Result<Option<Notice>, StoreError> {
        let key = notice::key(token.account(), token.notice());
        let Some(item) = reads::get(&self.client, &self.tables.notices, key).await? else {
            return Ok(None);
        };
        let row = notice::from_item(&item)?;
        let presented = token.hash();
        let is_its_own = row.hashes.iter().any(|hash| hash.matches(&presented));
        Ok((is_its_own && notice::is_link_open(&row.notice, now)).then_some(row.notice))
    }

    /// Ends the session that a notice is about, and answers the notice, once.
    ///
    /// One transaction: Notices (`account_id`, `notice_id`), only if it was not answered;
    /// Devices (`account_id`, `device_id`), only if the row still holds the session, signed
    /// in; Receipts (the header). The sign-out's id is the client request token, so a replay
    /// changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn end_by_notice(
        &self,
        notice: &Notice,
        target: &Device,
        sign_out: &SignOut,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        let answer = notice::answer(&self.tables.notices, notice, NoticeAnswer::End, sign_out.at);
        let end = device::end_session(
            &self.tables.devices,
            target,
            &sign_out.end_info(),
            WRITE_SIGN_OUT,
        );
        let header = receipt::put_header(&self.tables.receipts, sign_out, limits);
        let mut writes = vec![Write::Update(answer), Write::Update(end)];
        writes.extend(header.into_iter().map(Write::Put));
        writes::transact(&self.client, writes, sign_out.id.to_string()).await
    }

    /// Recognizes the device that a notice is about, and answers the notice, once.
    ///
    /// One transaction: Notices (`account_id`, `notice_id`), only if it was not answered;
    /// Devices (`account_id`, `device_id`), only if the row still holds the session. `attempt`
    /// is the client request token, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn recognize_by_notice(
        &self,
        notice: &Notice,
        device: &Device,
        (now, until): (Timestamp, Timestamp),
        attempt: NoticeId,
    ) -> Result<WriteOutcome, StoreError> {
        let table = &self.tables.notices;
        let answer = notice::answer(table, notice, NoticeAnswer::Mine, now);
        let recognize = device::recognize(&self.tables.devices, device, until);
        let writes = [Write::Update(answer), Write::Update(recognize)];
        writes::transact(&self.client, writes, attempt.to_string()).await
    }
}
