//! The counters that an attempt is charged to before its password is hashed.
//!
//! Without a device key these are the caller's networks and the address, beside the reads.
//! With one it is the device's counter, beside the reads; if the rows then show that the
//! device is not recognized, also the others. Which counters are written depends on the
//! request alone, and not on whether the address has an account.
//!
//! With a pass it is a try of the pass and nothing else: nobody but who reads the address's
//! mail can use it up.

use std::time::Duration;

use domain::networks::group_of;
use domain::{
    Account, Budget, Challenge, ChallengeId, ChallengeSecret, Code, CounterKey, Device,
    EmailAddress, Failures, Purpose, Timestamp,
};
use futures_util::future::join_all;
use http_api::{DeviceKeys, Problem, Request};
use mail::FailedSignIns;
use store::{Charge, Charged, Rows, StoreError, WriteOutcome};

use crate::Deps;
use crate::attempt::Attempt;

/// The time after which a client may ask again if only a proof by another way helps.
const SPENT_RETRY: Duration = Duration::from_hours(1);

/// The charges of one attempt.
pub(crate) struct Charges<'a> {
    deps: &'a Deps,
    request: &'a Request,
    address: &'a EmailAddress,
    now: Timestamp,
    /// The outcome of the device's counter, if the request has a device key.
    device: Option<(CounterKey, Charge)>,
    /// Whether the device is recognized, so that nothing else is charged.
    are_of_recognized: bool,
    /// The charges to give back after a success.
    charged: Vec<Charged>,
    /// The failures in a row of the address, if its owner is to be notified of them.
    failures: Option<Failures>,
    /// The pass that the attempt was made with, until it is taken away.
    pass: Option<ChallengeId>,
    /// Whether the attempt was made with a pass.
    pub(crate) is_by_pass: bool,
}

impl<'a> Charges<'a> {
    /// Charges what depends on no row.
    ///
    /// # Errors
    /// `too-many-attempts`; [`Problem::Unavailable`] if a counter could not be written.
    pub(crate) async fn begin(
        deps: &'a Deps,
        request: &'a Request,
        attempt: &'a Attempt,
        keys: &DeviceKeys,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let address = &attempt.email;
        let mut charges = Self {
            deps,
            request,
            address,
            now,
            device: None,
            are_of_recognized: false,
            charged: Vec::new(),
            failures: None,
            pass: None,
            is_by_pass: attempt.pass.is_some(),
        };
        request.note_network(group_of(request.ip()));
        if let Some(pass) = &attempt.pass {
            charges.pass = Some(charges.try_pass(pass).await?);
            return Ok(charges);
        }
        match keys.last() {
            Some(key) => charges.charge_device(key.counter_for(address)).await?,
            None => charges.charge_stranger().await?,
        }
        Ok(charges)
    }

    /// Charges the rest, now that the rows are read.
    ///
    /// # Errors
    /// As [`Charges::begin`].
    pub(crate) async fn complete(&mut self, keys: &DeviceKeys, rows: &Rows) -> Result<(), Problem> {
        if self.is_by_pass || self.device.is_none() {
            return Ok(());
        }
        let recognized = rows.account.as_ref().and_then(|account| {
            keys.recognized(account, &rows.devices, &self.deps.limits, self.now)
        });
        if let Some(key) = recognized {
            // A browser in which several people sign in has several keys.
            let counter = key.counter_for(self.address);
            let charged = self.device.as_ref();
            if charged.is_none_or(|(charged, _)| *charged != counter) {
                self.charge_device(counter).await?;
            }
            match &self.device {
                Some((_, Charge::Admitted(_))) => {
                    self.are_of_recognized = true;
                    return Ok(());
                }
                Some((_, Charge::Refused(wait))) => {
                    return Err(self.refusal("device-over-budget", *wait));
                }
                // Ten failures in a row have ended the recognition.
                Some((_, Charge::Spent)) | None => {}
            }
        }
        self.charge_stranger().await
    }

    /// Counts a try of a pass, and returns its id if its code and its address are right.
    async fn try_pass(
        &self,
        (secret, code): &(ChallengeSecret, Code),
    ) -> Result<ChallengeId, Problem> {
        let id = secret.id();
        let found = self.deps.store.try_challenge(&id, Purpose::Pass).await?;
        let is_right = |found: &Challenge| {
            found.email == *self.address && found.is_answered_by_code(secret, code, self.now)
        };
        match found.filter(is_right) {
            Some(_) => Ok(id),
            None => Err(Problem::CodeInvalid),
        }
    }

    /// Takes the pass away, if the attempt was made with one, so that it signs one device in.
    ///
    /// # Errors
    /// `code-invalid` if another attempt has taken it.
    pub(crate) async fn take_pass(&mut self) -> Result<(), Problem> {
        if let Some(id) = self.pass.take()
            && self.deps.store.take_challenge(&id).await? == WriteOutcome::Stale
        {
            return Err(Problem::CodeInvalid);
        }
        Ok(())
    }

    /// Returns whether the attempt was charged to a recognized device that is still so.
    pub(crate) fn are_of_recognized(
        &self,
        keys: &DeviceKeys,
        account: &Account,
        devices: &[Device],
    ) -> bool {
        let limits = &self.deps.limits;
        self.are_of_recognized
            && keys
                .recognized(account, devices, limits, self.now)
                .is_some()
    }

    /// Queues the failures in a row of the address, if its owner is to be notified of them.
    /// Whether it has an owner is read by `notify-owner`. An error is logged: the answer is
    /// the same.
    pub(crate) async fn report(&self) {
        let Some((failures, queue)) = self.failures.as_ref().zip(self.deps.notices.as_ref()) else {
            return;
        };
        let places = match self.request.place().ip {
            Some(ip) if failures.places.is_empty() => vec![ip],
            _ => failures.places.clone(),
        };
        let failed = FailedSignIns {
            email: self.address.as_normal().to_owned(),
            failures: failures.count,
            since_ms: failures.since.as_millisecond(),
            at_ms: self.now.as_millisecond(),
            places,
        };
        if let Err(error) = queue.send_failures(&failed).await {
            tracing::error!(cause = store::chain(&*error), "failed sign-ins not queued");
        }
    }

    /// Charges a device's counter. A refusal counts only if the device is recognized.
    async fn charge_device(&mut self, counter: CounterKey) -> Result<(), StoreError> {
        let budget = self.deps.budgets.device;
        let charge = self.charge(counter, &budget).await?;
        self.device = Some((counter, charge));
        Ok(())
    }

    /// Charges the caller's networks and the address, in this order: a network that is
    /// over its budget uses up nobody's address.
    async fn charge_stranger(&mut self) -> Result<(), Problem> {
        let budgets = &self.deps.budgets;
        for (counter, budget) in budgets.of_stranger(self.request.ip(), self.address) {
            match self.charge(counter, &budget).await? {
                Charge::Admitted(charged) => {
                    let limit = budget.in_a_row;
                    let is_notified =
                        limit.is_some_and(|it| it.is_notified(charged.in_a_row.count));
                    self.failures = is_notified.then_some(charged.in_a_row);
                }
                Charge::Refused(wait) => return Err(self.refusal("over-budget", wait)),
                Charge::Spent => return Err(self.refusal("over-budget", SPENT_RETRY)),
            }
        }
        Ok(())
    }

    async fn charge(&mut self, counter: CounterKey, budget: &Budget) -> Result<Charge, StoreError> {
        let country = self.request.place().country;
        let store = &self.deps.store;
        let charge = store.charge_from(counter, budget, country.as_deref(), self.now);
        let charge = charge.await?;
        if let Charge::Admitted(charged) = &charge {
            self.charged.push(charged.clone());
        }
        Ok(charge)
    }

    fn refusal(&self, outcome: &'static str, wait: Duration) -> Problem {
        self.request.note_outcome(outcome);
        Problem::too_many_attempts(wait)
    }

    /// Gives the charges back: the limits are on wrong passwords. Ends the failures in a row
    /// of the address, also if the attempt was not charged to it. Errors are logged: the
    /// counters recover by themselves.
    pub(crate) async fn give_back(&mut self) {
        let mut charged = std::mem::take(&mut self.charged);
        if self.is_by_pass || self.are_of_recognized {
            let address = CounterKey::sign_ins_to(self.address);
            charged.push(Charged::nothing(address));
        }
        self.give_all_back(charged).await;
    }

    /// Ends the failures in a row of a device whose recognition they ended. Call this once
    /// its row says no more that it is recognized.
    pub(crate) async fn end_failures(&self) {
        if let Some((counter, Charge::Spent)) = self.device {
            self.give_all_back(vec![Charged::nothing(counter)]).await;
        }
    }

    async fn give_all_back(&self, charged: Vec<Charged>) {
        let given = charged.iter().map(|it| self.deps.store.give_back(it));
        for outcome in join_all(given).await {
            if let Err(error) = outcome {
                tracing::warn!(cause = error.chain(), "charge not given back");
            }
        }
    }
}
