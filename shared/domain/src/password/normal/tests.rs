use super::super::fixtures::{matches, password};
use super::*;

#[test]
fn a_password_of_1024_bytes_is_accepted_and_a_longer_one_is_not() {
    assert!(Password::parse(&"x".repeat(1024)).is_ok());
    assert_eq!(
        Password::parse(&"x".repeat(1025)).err(),
        Some(PasswordError::TooLong)
    );
    assert_eq!(
        Password::parse(&"é".repeat(513)).err(),
        Some(PasswordError::TooLong)
    );
}

#[test]
fn the_same_characters_in_another_encoding_are_the_same_password() {
    assert!(matches("cafe\u{301} au lait", "caf\u{e9} au lait"));
    assert!(matches("caf\u{e9} au lait", "cafe\u{301} au lait"));
    assert!(matches(
        "caf\u{e9}\u{a0}au\u{3000}lait",
        "caf\u{e9} au lait"
    ));
    assert!(matches("\u{212b}ngstrom", "\u{c5}ngstrom"));
}

#[test]
fn no_other_difference_is_ignored() {
    for other in [
        "Caf\u{e9} au lait",
        " caf\u{e9} au lait",
        "caf\u{e9} au lait ",
        "caf\u{e9}  au lait",
        "caf\u{e9} au lait\n",
        "caf\u{e9} au lait\0",
        "caf\u{e9} au\tlait",
        "cafe au lait",
        "\u{ff43}af\u{e9} au lait",
        "caf\u{e9} au lait\u{200b}",
    ] {
        assert!(!matches(other, "caf\u{e9} au lait"), "{other:?}");
    }
}

#[test]
fn normalizing_leaves_no_copy_behind() {
    // The characters that NFC expands most, and one that it shortens.
    for text in [
        "\u{1d160}".repeat(256),
        "\u{fb2c}".repeat(341),
        "e\u{301}".repeat(341),
    ] {
        let normal = password(&text).text;
        assert_eq!(
            normal.capacity(),
            3 * text.len(),
            "the text was reallocated"
        );
    }
}
