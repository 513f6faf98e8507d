//! The log line of a request.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use domain::{AccountId, DeviceId};

/// The fields of a request's log line that the handler finds out: ids and an
/// outcome, never an address, a token or anything else that a client sent.
#[derive(Debug, Default)]
pub(crate) struct LogFields(Mutex<Fields>);

#[derive(Debug, Clone, Copy, Default)]
struct Fields {
    account: Option<AccountId>,
    device: Option<DeviceId>,
    outcome: Option<&'static str>,
    network: Option<u8>,
}

impl LogFields {
    pub(crate) fn set_account(&self, account: AccountId) {
        self.update(|fields| fields.account = Some(account));
    }

    pub(crate) fn set_device(&self, device: DeviceId) {
        self.update(|fields| fields.device = Some(device));
    }

    pub(crate) fn set_outcome(&self, outcome: &'static str) {
        self.update(|fields| fields.outcome = Some(outcome));
    }

    pub(crate) fn set_network(&self, group: u8) {
        self.update(|fields| fields.network = Some(group));
    }

    /// Writes the line. An outcome that the handler has set wins over `outcome`.
    pub(crate) fn write(
        &self,
        request_id: &str,
        method: &str,
        status: Option<u16>,
        outcome: &'static str,
        began: Instant,
    ) {
        let mut fields = Fields::default();
        self.update(|set| fields = *set);
        tracing::info!(
            request = request_id,
            method,
            status,
            outcome = fields.outcome.unwrap_or(outcome),
            account = fields.account.map(tracing::field::display),
            device = fields.device.map(tracing::field::display),
            network = fields.network,
            duration_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
            "request"
        );
    }

    fn update(&self, change: impl FnOnce(&mut Fields)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
