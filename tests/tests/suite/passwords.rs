//! The estimates of passwords, compared with zxcvbn, which the functions don't hold; and
//! the lists, made again from their packages.

use std::fs;

use curfew::tools::{Environment, find_python};
use curfew::{root, target};
use curfew_tests::conformance::node;
use domain::password::lists::{Lists, ONLY_FACTOR};

#[path = "../../../infra/bench/programs/password-lists/make.rs"]
mod make;

/// Words of every frequency, and names.
const WORDS: [&str; 40] = [
    "love", "dragon", "monkey", "summer", "winter", "house", "water", "music", "tiger", "purple",
    "michael", "jessica", "garcia", "elephant", "bicycle", "lantern", "gravel", "otter", "harbour",
    "violin", "kitchen", "mountain", "silver", "engine", "castle", "orange", "planet", "shadow",
    "thunder", "window", "pencil", "garden", "village", "captain", "doctor", "market", "bridge",
    "forest", "island", "copper",
];
const WALKS: [&str; 8] = [
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "1234567890",
    "qazwsxedc",
    "abcdefgh",
    "87654321",
    "1qaz2wsx",
];
const EACH: usize = 2_000;

/// Numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.below(WORDS.len())]
    }

    fn letters(&mut self, count: usize) -> String {
        (0..count)
            .map(|_| char::from(b"abcdefghijklmnopqrstuvwxyz"[self.below(26)]))
            .collect()
    }

    /// Starts in upper case, as people write a first word.
    fn capital(&mut self) -> String {
        let word = self.word();
        word[..1].to_uppercase() + &word[1..]
    }
}

/// Returns whether zxcvbn's pieces take too few guesses, by the same product.
fn zxcvbn_refuses(password: &str) -> bool {
    let estimate = zxcvbn::zxcvbn(password, &[]);
    let guesses = (1_u64..)
        .zip(estimate.sequence())
        .fold(1_u64, |product, (place, piece)| {
            let guesses = piece.guesses.unwrap_or(u64::MAX);
            product.saturating_mul(place).saturating_mul(guesses)
        });
    guesses < ONLY_FACTOR
}

/// Asserts that this rule and zxcvbn judge at most `percent` of a kind of passwords
/// differently, and prints how many.
fn assert_alike(kind: &str, percent: usize, make: impl Fn(&mut Numbers) -> String) {
    let lists = Lists::compiled();
    let mut numbers = Numbers(7);
    let (mut ours, mut theirs) = (0, 0);
    for _ in 0..EACH {
        let password = make(&mut numbers);
        match (
            lists.guesses(&password) < ONLY_FACTOR,
            zxcvbn_refuses(&password),
        ) {
            (true, false) => ours += 1,
            (false, true) => theirs += 1,
            _ => {}
        }
    }
    let outcome = format!("{kind}: refused here alone {ours}, by zxcvbn alone {theirs}");
    println!("{outcome}");
    assert!((ours + theirs) * 100 <= EACH * percent, "{outcome}");
}

#[test]
fn random_letters_are_never_refused() {
    assert_alike("letters", 0, |numbers| numbers.letters(15));
}

#[test]
fn four_different_words_are_never_refused() {
    let lists = Lists::compiled();
    let mut numbers = Numbers(7);
    for _ in 0..EACH {
        let words = [0, 10, 20, 30].map(|from| WORDS[from + numbers.below(10)]);
        let password = words.join(" ");
        assert!(lists.guesses(&password) >= ONLY_FACTOR, "{password}");
    }
}

#[test]
fn two_words_and_a_number_are_judged_as_by_zxcvbn() {
    assert_alike("words", 15, |numbers| {
        format!(
            "{}{}{}",
            numbers.word(),
            numbers.capital(),
            numbers.below(100)
        )
    });
}

#[test]
fn a_name_and_a_date_are_judged_as_by_zxcvbn() {
    assert_alike("dates", 10, |numbers| {
        let (day, month) = (numbers.below(28) + 1, numbers.below(12) + 1);
        let year = 1960 + numbers.below(50);
        format!("{}{day:02}{month:02}{year}", numbers.capital())
    });
}

#[test]
fn walks_and_sequences_are_judged_as_by_zxcvbn() {
    assert_alike("walks", 10, |numbers| {
        format!("{}{}", WALKS[numbers.below(8)], WALKS[numbers.below(8)])
    });
}

/// Passwords that the filter does not have: of 50 one is judged, because all of them take
/// longer than the rest of these tests together.
const SAMPLE: u64 = 50;

#[tokio::test]
async fn the_lists_are_what_their_command_makes_of_the_packages() {
    node().await.unwrap();
    Environment::Uv
        .install(&find_python().unwrap())
        .await
        .unwrap();
    let programs = make::Programs {
        python: &Environment::Uv.programs().join("python"),
        npm: &Environment::Node.programs().join("npm"),
    };
    let folder = target().join("tests/password-lists");
    let compiled = Lists::compiled();

    let made = make::make(&programs, &folder, |key| {
        compiled.has_key(key) || key.is_multiple_of(SAMPLE)
    });

    let committed = fs::read(root().join(make::FILE)).unwrap();
    assert!(
        made.unwrap() == committed,
        "run `cargo run --example password-lists`"
    );
}
