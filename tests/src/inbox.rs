//! The mails of the stack under test.

use std::time::Duration;

use curfew::mails::{Mail, sent};
use tokio::time::{Instant, sleep};

use crate::stack::stack;

/// The time in which a mail has to arrive: a message of SQS takes a second or two.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for the mails to an address, until there are `count`, and returns them, the
/// oldest first.
///
/// # Panics
/// When there are fewer by the deadline.
pub async fn wait_for(address: &str, count: usize) -> Vec<Mail> {
    let until = Instant::now() + DEADLINE;
    loop {
        let mails = sent(&stack().aws).await.expect("the local AWS answers");
        let to_address = |mail: &Mail| mail.to.iter().any(|to| to == address);
        let mails: Vec<Mail> = mails.into_iter().filter(to_address).collect();
        if mails.len() >= count {
            return mails;
        }
        let subjects: Vec<_> = mails.iter().map(|mail| &mail.subject).collect();
        assert!(
            Instant::now() < until,
            "{count} mails to {address} did not arrive, only {subjects:?}"
        );
        sleep(Duration::from_millis(50)).await;
    }
}
