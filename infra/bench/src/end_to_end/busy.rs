//! A device that never stops calling, and is signed out.

use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::Serialize;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::timeout;

use super::PATIENCE;
use super::endpoints::{Endpoint, Endpoints};
use super::rounds::{Household, Way};
use crate::report::Table;

/// How many calls begin after the answer, at each endpoint.
const CALLS_AFTER: usize = 3;

/// The calls of busy devices. Those that began before the answer may be let in or not.
#[derive(Default, Serialize)]
pub struct Figures {
    sign_outs: usize,
    let_in_before: usize,
    refused_before: usize,
    let_in_after: usize,
    refused_after: usize,
}

impl Figures {
    pub fn let_in_after(&self) -> usize {
        self.let_in_after
    }

    fn count(&mut self, is_after: bool, is_let_in: bool) {
        *match (is_after, is_let_in) {
            (false, true) => &mut self.let_in_before,
            (false, false) => &mut self.refused_before,
            (true, true) => &mut self.let_in_after,
            (true, false) => &mut self.refused_after,
        } += 1;
    }

    pub fn table(&self) -> Table {
        let columns = [
            "sign-outs",
            "begun before the answer: let in",
            "refused",
            "begun after it: refused",
            "let in",
        ];
        let mut table = Table::new("The calls of a device that never stops calling", &columns);
        let figures = [
            self.sign_outs,
            self.let_in_before,
            self.refused_before,
            self.refused_after,
            self.let_in_after,
        ];
        table.row(figures.map(|count| count.to_string()));
        table
    }
}

/// Lets the television call without a pause at two endpoints, and signs it out after so
/// many of its calls.
pub async fn sign_out(
    household: &mut Household,
    way: Way,
    calls: usize,
    figures: &mut Figures,
) -> Result<()> {
    household.sign_in().await;
    let (answered, is_answered) = watch::channel(None);
    let (report, mut reports) = unbounded_channel();
    let mut callers = Vec::new();
    for endpoint in [Endpoint::Session, Endpoint::Authorizer] {
        let caller = Caller {
            endpoints: household.endpoints.clone(),
            endpoint,
            token: household.tv.token.clone(),
            answered: is_answered.clone(),
            report: report.clone(),
        };
        callers.push(tokio::spawn(caller.call()));
    }
    for _ in 0..calls {
        reports.recv().await.context("a caller has ended early")?;
    }
    household.sign_out(way).await;
    answered.send_replace(Some(Instant::now()));
    for caller in callers {
        for (is_after, is_let_in) in timeout(PATIENCE, caller).await??? {
            figures.count(is_after, is_let_in);
        }
    }
    figures.sign_outs += 1;
    Ok(())
}

struct Caller {
    endpoints: Endpoints,
    endpoint: Endpoint,
    token: String,
    answered: watch::Receiver<Option<Instant>>,
    report: UnboundedSender<()>,
}

impl Caller {
    /// Calls until some of the calls have begun after the answer. Returns for each
    /// whether it began after the answer, and whether it was let in.
    async fn call(self) -> Result<Vec<(bool, bool)>> {
        let mut calls = Vec::new();
        let mut after = 0;
        while after < CALLS_AFTER {
            let attempt = self.endpoints.attempt(self.endpoint, &self.token).await?;
            let answered = *self.answered.borrow();
            let is_after = answered.is_some_and(|at| attempt.began > at);
            after += usize::from(is_after);
            calls.push((is_after, attempt.is_let_in));
            let _ = self.report.send(());
        }
        Ok(calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_let_in_counts_if_it_began_after_the_answer() {
        let mut figures = Figures::default();
        figures.count(false, true);
        figures.count(true, false);
        assert_eq!(figures.let_in_after(), 0);

        figures.count(true, true);
        assert_eq!(figures.let_in_after(), 1);
    }
}
