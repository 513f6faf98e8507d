//! Tampered tokens, and the ways of presenting a token.

use curfew_tests::client::{Answer, Api, Call, Household, TV};
use domain::Token;

/// Returns a call for the session of a token.
fn session() -> Call {
    Api::default().call("GET", "/v1/session")
}

/// Sends an `Authorization` header.
async fn presented(authorization: &str) -> Answer {
    session()
        .header("authorization", authorization)
        .send()
        .await
}

#[tokio::test]
async fn a_token_with_any_character_changed_is_refused() {
    let tv = Household::register().await.sign_in(TV).await;

    for place in 0..tv.token.len() {
        let mut changed = tv.token.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();

        let answer = presented(&format!("Bearer {changed}")).await;

        answer.refused(401, "token-invalid");
    }
    assert!(tv.is_signed_in().await);
}

#[tokio::test]
async fn a_token_that_was_cut_padded_or_rewritten_is_refused() {
    let tv = Household::register().await.sign_in(TV).await;
    let token = &*tv.token;
    let without_prefix = &token["cft_".len()..];
    let written = [
        token[..token.len() - 1].to_owned(),
        token[1..].to_owned(),
        token[..token.len() / 2].to_owned(),
        without_prefix.to_owned(),
        format!("{token}="),
        format!("{token}=="),
        format!("{token}A"),
        format!("A{token}"),
        format!("{token}{token}"),
        format!("CFT_{without_prefix}"),
        format!("cfd_{without_prefix}"),
        token.to_uppercase(),
        token.to_lowercase(),
        token.replace('_', "/"),
    ];

    for token in written {
        let answer = presented(&format!("Bearer {token}")).await;

        answer.refused(401, "token-invalid");
    }
    assert!(tv.is_signed_in().await);
}

#[tokio::test]
async fn a_well_formed_token_with_another_secret_is_refused() {
    let tv = Household::register().await.sign_in(TV).await;
    let (account, device) = (tv.account_id.parse().unwrap(), tv.id.parse().unwrap());
    let forged = Token::new(account, device, runtime::random()).to_text();

    let answer = presented(&format!("Bearer {}", *forged)).await;

    answer.refused(401, "token-invalid");
}

#[tokio::test]
async fn a_device_key_is_refused_as_a_token() {
    let tv = Household::register().await.sign_in(TV).await;

    let answer = presented(&format!("Bearer {}", tv.key)).await;

    answer.refused(401, "token-invalid");
}

#[tokio::test]
async fn a_public_id_is_refused_as_a_token() {
    let tv = Household::register().await.sign_in(TV).await;

    for id in [&tv.id, &tv.account_id] {
        let answer = presented(&format!("Bearer {id}")).await;

        answer.refused(401, "token-invalid");
    }
}

#[tokio::test]
async fn a_malformed_header_is_no_verdict_on_the_session() {
    let tv = Household::register().await.sign_in(TV).await;
    let token = &tv.token;
    let others = [
        format!("Basic {token}"),
        format!("Token {token}"),
        format!("Bearer{token}"),
        format!("Bearer\t{token}"),
        format!("Bearer {token}, Bearer {token}"),
        format!("Bearer {token} x"),
        format!("Bearer \"{token}\""),
        format!("Bearer cft_%41{}", &token[4..]),
        format!("Bearer Bearer {token}"),
        token.clone(),
        "Bearer".to_owned(),
    ];

    for authorization in others {
        let answer = presented(&authorization).await;

        assert_eq!(answer.invalid(), "Authorization", "{authorization}");
    }
    for scheme in ["bEARER", "Bearer  "] {
        let answer = presented(&format!("{scheme} {token}")).await;
        let _ = answer.done(200);
    }
}

#[tokio::test]
async fn a_token_in_the_url_or_the_body_is_ignored() {
    let tv = Household::register().await.sign_in(TV).await;
    let api = Api::default();
    let path = format!("/v1/session?access_token={}", tv.token);

    let in_address = api.call("GET", &path).send().await;
    let in_body = api
        .call("POST", "/v1/sign-out")
        .json(&serde_json::json!({ "token": tv.token }))
        .send()
        .await;

    in_address.refused(401, "token-missing");
    in_body.refused(401, "token-missing");
}

#[tokio::test]
async fn a_token_in_a_header_and_a_cookie_is_refused() {
    let tv = Household::register().await.sign_in(TV).await;
    let cookie = format!("__Host-curfew={}", tv.token);

    let answer = session()
        .token(&tv.token)
        .header("cookie", cookie)
        .send()
        .await;

    assert_eq!(answer.invalid(), "Authorization");
}

#[tokio::test]
async fn two_cookies_with_tokens_are_refused() {
    let tv = Household::register().await.sign_in(TV).await;
    let cookie = format!("__Host-curfew={}", tv.token);

    let twice = session().header("cookie", format!("{cookie}; {cookie}"));

    assert_eq!(twice.send().await.invalid(), "__Host-curfew");
}

#[tokio::test]
async fn a_malformed_cookie_is_refused() {
    let tv = Household::register().await.sign_in(TV).await;
    let token = &tv.token;
    let malformed = [
        "__Host-curfew=".to_owned(),
        "__Host-curfew=nonsense".to_owned(),
        format!("__Host-curfew=\"{token}\""),
        format!("__Host-curfew={}", &token[..token.len() - 1]),
    ];
    let others = [
        "nonsense".to_owned(),
        format!("curfew={token}"),
        format!("__host-curfew={token}"),
        format!("__Host-curfew-device={token}"),
    ];

    for cookie in malformed {
        let answer = session().header("cookie", cookie).send().await;

        answer.refused(401, "token-invalid");
    }
    for cookie in others {
        let answer = session().header("cookie", cookie).send().await;

        answer.refused(401, "token-missing");
    }
}
