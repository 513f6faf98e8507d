use super::*;

fn has_leaked(password: &str) -> bool {
    let chars: Vec<char> = password.chars().collect();
    Lists::compiled().has_leaked(&chars)
}

fn word_guesses(word: &str) -> Option<u64> {
    let folded: Vec<char> = word.chars().map(fold).collect();
    Lists::compiled().word_guesses(folded.iter().copied())
}

/// Texts that are in no list: numbers in base 26.
fn made_up(number: u64, length: u32) -> String {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..length)
        .map(|place| 26_u64.pow(place))
        .map(|power| char::from(b'a' + u8::try_from(number / power % 26).unwrap()))
        .collect()
}

#[test]
fn the_file_holds_the_keys_that_its_readme_counts() {
    let readme = include_str!("README.md");
    let bytes = COMPILED.0.len();
    assert!(
        readme.contains(&format!("{} bytes", grouped(bytes))),
        "{bytes}"
    );
    // 18 bits a key, as in the paper, and a little more for so few.
    let fingerprints = Lists::compiled().filter.len();
    assert_eq!(bytes, DESCRIPTOR_BYTES + 2 * fingerprints);
}

fn grouped(number: usize) -> String {
    format!("{},{:03}", number / 1_000, number % 1_000)
}

#[test]
fn known_entries_are_found() {
    for password in [
        "correcthorsebatterystaple",
        "fashionforpassion",
        "knightsoflegend",
    ] {
        assert!(has_leaked(password), "{password}");
    }
    for (word, guesses) in [
        ("password", 32),
        ("dragon", 32),
        ("elephant", 512),
        ("bicycle", 2_048),
        ("responsibilities", 2_048),
    ] {
        assert_eq!(word_guesses(word), Some(guesses), "{word}");
    }
}

#[test]
fn a_leaked_password_is_not_found_by_a_part_of_it() {
    assert!(!has_leaked("correcthorsebattery"));
    assert!(!has_leaked("correcthorsebatterystaples"));
    assert!(!has_leaked("password"));
}

#[test]
fn a_made_up_password_is_found_once_in_65536_times() {
    let found = (0..1 << 20)
        .filter(|i| has_leaked(&made_up(*i, 13)))
        .count();
    assert!((4..=32).contains(&found), "{found}");
}

#[test]
fn a_long_made_up_word_is_found_far_less_often() {
    let found = |length| {
        let words = (0..1_u64 << 18).map(|i| made_up(i, length));
        words.filter(|word| word_guesses(word).is_some()).count()
    };
    assert!((4..=40).contains(&found(8)), "{}", found(8));
    assert_eq!(found(9), 0);
}
