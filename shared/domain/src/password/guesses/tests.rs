use super::*;

fn guesses(text: &str) -> u64 {
    let chars: Vec<char> = text.chars().collect();
    estimate(&Lists::compiled(), &chars, &mut 0).guesses
}

#[test]
fn each_kind_of_piece_has_its_price() {
    for (text, expected) in [
        ("", 1),
        ("vqjx", 10_000),
        ("elephant", 512),
        ("Elephant", 1_024),
        ("3lephant", 1_024),
        ("tnahpele", 1_024),
        ("elephantelephant", 1_024),
        ("elephant elephant", 2_097_152),
        ("abcdefgh", 32),
        ("hgfedcba", 416),
        ("1987", 120),
        ("04071987", 43_800),
        ("4.7.1987", 175_200),
    ] {
        assert_eq!(guesses(text), expected, "{text}");
    }
}

#[test]
fn pieces_multiply_with_their_orders_and_separators_do_not() {
    let both = guesses("elephantbicycle");
    assert_eq!(both, 2 * guesses("elephant") * guesses("bicycle"));
    assert_eq!(guesses("elephant bicycle"), SEPARATOR * both);
}

#[test]
fn a_walk_costs_more_the_more_it_turns() {
    assert!(guesses("qwertyuiop") < guesses("qwertgfdsa"));
    assert!(guesses("qwertgfdsa") < guesses("qwedsazxcvf"));
    assert!(guesses("qwedsazxcvf") < 10_u64.pow(11));
}

#[test]
fn the_work_for_a_hostile_text_is_bounded() {
    for part in [
        "a",
        "ab",
        "p@ssw0rd",
        "qwertzuiop",
        "1q2w3e",
        "4@",
        "İß\u{301}",
        "- ",
        "password 1",
    ] {
        let text: Vec<char> = part.chars().cycle().take(1_024).collect();
        let mut steps = 0;
        let _ = count_below(u64::MAX, &Lists::compiled(), &text, &mut steps);
        assert!((1..=MAX_STEPS).contains(&steps), "{part}: {steps}");
    }
}

/// Four chunks: each whole, and both halves of it.
const MAX_STEPS: u32 = 4 * 60_000;
