//! How long a function needs to judge a new password that was made to be slow: as long as
//! it may be, and as ambiguous as possible. Prints the median and the worst time of each
//! kind of text, in microseconds.

use std::hint::black_box;
use std::time::Instant;

use domain::EmailAddress;
use domain::password::{MAX_BYTES, PasswordRules};

/// How often each text is judged.
const ROUNDS: usize = 501;

/// Texts that are repeated up to the longest password, each with what is slow about it.
const KINDS: [(&str, &str); 11] = [
    ("one letter: every length is a repeat", "a"),
    ("two letters", "ab"),
    ("words, respelled", "p@ssw0rd"),
    ("words and separators", "password 1- "),
    ("walks on a keyboard", "qwertzuiop"),
    ("two walks, interleaved", "1q2w3e4r5t6y"),
    ("dates", "01022003"),
    ("characters of two spellings", "4@|!1l"),
    ("separators", "- _"),
    ("marks that are sorted", "a\u{301}\u{323}\u{315}\u{31b}"),
    ("the account's own words, in part", "quiet.otter.borro"),
];

fn main() {
    let email = "quiet.otter.borrows.nine.lanterns.by.the.harbour.of.sleep@otter.example";
    let email = EmailAddress::parse(email).expect("an address");
    println!(
        "{:40} {:>9} {:>9}",
        "password of 1,024 bytes", "median µs", "worst µs"
    );
    for (kind, part) in KINDS {
        let text = longest(part);
        let mut times: Vec<u128> = (0..ROUNDS).map(|_| time(&text, &email)).collect();
        times.sort_unstable();
        let (median, worst) = (times[ROUNDS / 2], times[ROUNDS - 1]);
        println!("{kind:40} {median:9} {worst:9}");
    }
}

/// Repeats a text up to the most bytes.
fn longest(part: &str) -> String {
    let mut text = String::new();
    for c in part.chars().cycle() {
        if text.len() + c.len_utf8() > MAX_BYTES {
            break;
        }
        text.push(c);
    }
    text
}

fn time(text: &str, email: &EmailAddress) -> u128 {
    let start = Instant::now();
    let judged = PasswordRules::default().accept(black_box(text), Some(email));
    let took = start.elapsed().as_micros();
    drop(black_box(judged));
    took
}
