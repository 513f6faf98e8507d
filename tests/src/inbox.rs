//! The mails of the stack under test.

use std::time::Duration;

use curfew::mails::{Mail, sent_to};
use tokio::time::{Instant, sleep};

use crate::client::remember;
use crate::stack::stack;

/// The time in which a mail has to arrive: a message of SQS takes a second or two.
const DEADLINE: Duration = Duration::from_secs(30);

/// The time between two looks.
const POLL: Duration = Duration::from_millis(200);

/// Waits for the mails to an address, until there are `count`, and returns the code of the
/// last one that has a code.
///
/// # Panics
/// When none has.
pub async fn code_for(address: &str, count: usize) -> String {
    let mails = wait_for(address, count).await;
    let mut codes = mails.iter().rev().filter_map(code_in);
    codes.next().expect("a mail with a code")
}

/// Returns the code in a mail.
#[must_use]
pub fn code_in(mail: &Mail) -> Option<String> {
    let is_code = |word: &&str| {
        word.len() == 9
            && word.char_indices().all(|(at, letter)| match at {
                4 => letter == '-',
                _ => letter.is_ascii_uppercase() || letter.is_ascii_digit(),
            })
    };
    let code = mail.body_text.split_whitespace().find(is_code)?;
    remember(&[code]);
    Some(code.to_owned())
}

/// Returns the mails to an address with this subject, the oldest first, once there are `count`.
///
/// # Panics
/// When there are fewer by the deadline.
pub async fn wait_for_subject(address: &str, subject: &str, count: usize) -> Vec<Mail> {
    let mut total = count;
    loop {
        let mails = wait_for(address, total).await;
        total = mails.len() + 1;
        let mails: Vec<_> = mails
            .into_iter()
            .filter(|it| it.subject == subject)
            .collect();
        if mails.len() >= count {
            return mails;
        }
    }
}

/// Waits for the mail to an address with this subject, and returns the last code in the
/// mails to it.
///
/// # Panics
/// When it does not arrive, or no mail has a code.
pub async fn code_with(address: &str, subject: &str) -> String {
    let mut count = 1;
    loop {
        let mails = wait_for(address, count).await;
        if mails.iter().any(|mail| mail.subject == subject) {
            return code_for(address, count).await;
        }
        count = mails.len() + 1;
    }
}

/// Waits for the mails to an address, until there are `count`, and returns them, the
/// oldest first.
///
/// # Panics
/// When there are fewer by the deadline.
pub async fn wait_for(address: &str, count: usize) -> Vec<Mail> {
    let until = Instant::now() + DEADLINE;
    loop {
        let mails = sent_to(&stack().aws, address).await;
        let mails = mails.expect("the local AWS answers");
        if mails.len() >= count {
            return mails;
        }
        let subjects: Vec<_> = mails.iter().map(|mail| &mail.subject).collect();
        assert!(
            Instant::now() < until,
            "{count} mails to {address} did not arrive, only {subjects:?}"
        );
        sleep(POLL).await;
    }
}

/// Waits for the mail to an address with this subject, and returns the part of the page's
/// address in its link, such as `#/notice/…`.
///
/// # Panics
/// When it does not arrive, or has no link to the page.
pub async fn link_for(address: &str, subject: &str) -> String {
    let mut count = 1;
    loop {
        let mails = wait_for(address, count).await;
        let Some(mail) = mails.iter().find(|mail| mail.subject == subject) else {
            count = mails.len() + 1;
            continue;
        };
        let (_, link) = mail.body_text.split_once("#/").expect("a link to the page");
        let link = link.split_whitespace().next().unwrap_or_default();
        remember(&[link.rsplit('/').next().unwrap_or_default()]);
        return format!("#/{link}");
    }
}
