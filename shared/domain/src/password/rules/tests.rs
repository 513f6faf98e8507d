use super::super::fixtures::password;
use super::*;

fn rejections(text: &str) -> Vec<Rejection> {
    rejections_of("lea.martin@example.com", text)
}

fn rejections_of(email: &str, text: &str) -> Vec<Rejection> {
    PasswordRules::default()
        .check(&password(text), &[email, "Curfew"])
        .err()
        .unwrap_or_default()
}

#[test]
fn the_minimum_is_counted_in_code_points_of_the_normal_form() {
    let too_short = vec![Rejection::TooShort { min_length: 15 }];
    assert_eq!(rejections("vqjxkzwpbfmhdg"), too_short);
    assert_eq!(rejections("vqjxkzwpbfmhdgt"), []);
    assert_eq!(rejections("vqjxkzwpbfmhd\u{e9}"), too_short);
    assert_eq!(rejections("vqjxkzwpbfmhde\u{301}"), too_short);
    assert_eq!(rejections("vqjxkzwpbfmhdge\u{301}"), []);
    assert_eq!(rejections("🦊🎻🌵🧲🪁🍋🛶🔭🧵🎲🪐🦑🥁🧊🪵"), []);
}

#[test]
fn a_minimum_length_is_between_8_and_64() {
    for (min_length, is_accepted) in [(0, false), (7, false), (8, true), (64, true), (65, false)] {
        assert_eq!(
            PasswordRules::with_min_length(min_length).is_ok(),
            is_accepted
        );
    }
    assert_eq!(PasswordRules::default().min_length(), 15);
    assert_eq!(PasswordRules::with_min_length(20).unwrap().min_length(), 20);
}

#[test]
fn a_good_password_may_have_any_length_up_to_the_maximum() {
    let words = "gravel otter ninety lantern ".repeat(40);
    for length in [64, 65, 100, 101, 1024] {
        assert_eq!(rejections(&words[..length]), [], "{length}");
    }
}

#[test]
fn no_kind_of_character_is_required() {
    for text in [
        "vqjxkzwpbfmhdgt",
        "VQJXKZWPBFMHDGT",
        "739164825017463",
        "gravel otter lantern",
        "graveotterlantern",
        "мой пёс любит сыр",
        "我家的猫昨天晚上吃了三条很大的鱼",
    ] {
        assert_eq!(rejections(text), [], "{text}");
    }
}

#[test]
fn a_leaked_password_is_rejected_in_every_spelling() {
    for text in [
        "correct horse battery staple",
        "CorrectHorseBatteryStaple",
        "C0rrect-H0rse-B@ttery-St@ple",
        "knightsoflegend",
        "fashionforpassion",
    ] {
        assert_eq!(rejections(text), [Rejection::Leaked], "{text}");
    }
}

#[test]
fn a_listed_word_is_rejected() {
    for text in [
        "1qaz2wsx3edc4rfv",
        "147258369147258369",
        "passwordpassword",
        "PasswordPassword",
        "p@ssw0rdp@ssw0rd",
        "drowssapdrowssap",
        "iloveyouiloveyou",
        "responsibilities",
    ] {
        assert_eq!(rejections(text), [Rejection::Common], "{text}");
    }
}

#[test]
fn a_guessable_password_is_rejected() {
    for text in [
        "aaaaaaaaaaaaaaa",
        "abcabcabcabcabc",
        "abcdefghijklmnop",
        "987654321098765",
        "qwertyuiopasdfgh",
        "12345678900987654321",
        "qwertzuiopüasdfg",
        "!@#$%^&*()_+!@#",
        "1q2w3e4r5t6y7u8i",
        "1q2w3e4r5t6y7u8i9o",
        "0102030405060708",
        "11223344556677889900",
        "a1b2c3d4e5f6g7h8",
        "password1234567",
        "Password123!!2024",
        "christopher12345",
        "christopher 04.07.1976",
        "elephant-bicycle",
        "manchesterunited",
        "elephantbicycle",
        "Summer2024Summer2024",
        "               ",
    ] {
        assert_eq!(rejections(text), [Rejection::Guessable], "{text:?}");
    }
}

#[test]
fn two_ordinary_words_are_rejected_and_three_are_accepted() {
    for text in ["elephantbicycle", "summerwinterlove"] {
        assert_eq!(rejections(text), [Rejection::Guessable], "{text}");
    }
    for text in ["gravelotterlantern", "elephantbicyclelantern"] {
        assert_eq!(rejections(text), [], "{text}");
    }
}

#[test]
fn a_password_of_the_accounts_own_words_is_rejected() {
    for text in [
        "lea.martin@example.com",
        "LEA.MARTIN@EXAMPLE.COM",
        "leamartinexamplecom",
        "lea-martin-curfew-1",
        "L34-M4rt1n-Curf3w!",
        "nitramaelwefruc!",
        "Curfew Curfew Lea 2",
    ] {
        assert_eq!(rejections(text), [Rejection::OwnWords], "{text}");
    }
    // The longer of two words that begin alike.
    let text = "vqjxkzwpbfmhdg!!";
    assert_eq!(
        rejections_of("vqj.vqjxkzwpbfmhdg@example.com", text),
        [Rejection::OwnWords]
    );
    let long = "bartholomew.featherstonehaugh@westmorland.example";
    assert_eq!(rejections_of(long, long), [Rejection::OwnWords]);
}

#[test]
fn words_of_another_account_are_accepted() {
    let text = "featherstonehaugh-bartholomew";
    let owner = "bartholomew.featherstonehaugh@example.com";
    assert_eq!(rejections_of(owner, text), [Rejection::OwnWords]);
    assert_eq!(rejections_of("lea@example.com", text), []);
}

#[test]
fn an_own_word_in_a_good_password_is_accepted() {
    assert_eq!(rejections("martin gravel otter lantern"), []);
}

#[test]
fn a_long_password_is_rejected_only_if_all_of_it_is_guessable() {
    assert_eq!(rejections(&"letmein".repeat(16)), [Rejection::Common]);
    assert_eq!(
        rejections(&format!("{}abcdefghijklmnop", "letmein".repeat(4))),
        [Rejection::Guessable]
    );
    assert_eq!(rejections(&"a".repeat(1024)), [Rejection::Guessable]);
    assert_eq!(
        rejections(&format!("{}vqjxkzwpbfmhdgt", "a".repeat(28))),
        []
    );
    assert_eq!(
        rejections(&format!("{}vqjxkzwpbfmhdgt", "a".repeat(84))),
        []
    );
}

#[test]
fn with_a_second_factor_eight_random_letters_are_accepted_and_a_common_word_is_not() {
    let rules = PasswordRules::with_min_length(8).unwrap();
    for text in ["vqjxkzwp", "V7qjxk2w", "elephantbicycle"] {
        assert_eq!(rules.check(&password(text), &[]), Ok(()), "{text}");
    }
    for text in [
        "password",
        "P@ssw0rd",
        "password1",
        "qwertyui",
        "12345678",
        "elephant1",
    ] {
        assert!(rules.check(&password(text), &[]).is_err(), "{text}");
    }
}

#[test]
fn every_reason_is_returned_at_once() {
    let too_short = Rejection::TooShort { min_length: 15 };
    assert_eq!(rejections("password"), [too_short, Rejection::Common]);
    assert_eq!(rejections("lea.martin"), [too_short, Rejection::OwnWords]);
    assert_eq!(rejections("aaaa"), [too_short, Rejection::Guessable]);
    assert_eq!(rejections(""), [too_short]);
}

#[test]
fn every_rejection_has_a_name_and_a_sentence() {
    let all = [
        Rejection::TooShort { min_length: 15 },
        Rejection::from(PasswordError::TooLong),
        Rejection::Leaked,
        Rejection::Common,
        Rejection::OwnWords,
        Rejection::Guessable,
    ];
    let names = all.map(Rejection::name);
    assert_eq!(
        names,
        [
            "too_short",
            "too_long",
            "leaked",
            "common",
            "own_words",
            "guessable"
        ]
    );
    for rejection in all {
        let sentence = rejection.to_string();
        assert!(sentence.starts_with("The password ") && sentence.ends_with('.'));
    }
    assert!(all[0].to_string().contains("15"));
}

#[test]
fn no_password_makes_the_estimate_panic() {
    // A walk that turns at every step; respellings; lower case that is longer.
    let walk = "5253596259898489598489598548595745324268453632695487475955752156356";
    let respelt = "48@({[<36910!|7$5+%2".repeat(50);
    for text in [
        walk,
        &walk.repeat(15),
        &respelt,
        &"İ".repeat(512),
        &"ß\u{301}".repeat(256),
    ] {
        let _ = rejections(text);
    }
    let alphabet: Vec<char> = "aA@4eE3 0oO$5sS!1iI(c<2024ßİ\u{301}🦊\0\n147895632"
        .chars()
        .collect();
    let mut state = 1_u32;
    for length in 0..400_u32 {
        let text: String = (0..length % 60)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                alphabet[usize::try_from(state >> 16).unwrap() % alphabet.len()]
            })
            .collect();
        let _ = rejections(&text);
    }
}
