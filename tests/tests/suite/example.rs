//! The example of an adopting team's API (`infra/example`), deployed beside the
//! bundle: which requests the authorizer allows, and when a film stops.

use curfew_tests::client::{Answer, Api, Call, Device, Household, LAPTOP, TV};
use curfew_tests::stack::stack;
use curfew_tests::template;
use films::{Catalogue, FILMS, Piece};
use serde_json::{Value, json};

/// Returns a client for the example.
fn films() -> Api {
    Api::at(&stack().example_url)
}

/// Returns a call to the example.
fn get(path: &str) -> Call {
    films().call("GET", path)
}

/// Calls the example as a device.
async fn by(device: &Device, path: &str) -> Answer {
    get(path).token(&device.token).send().await
}

/// Returns the piece of a film that a device gets.
async fn piece(device: &Device, path: &str) -> Piece {
    let answer = by(device, path).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    serde_json::from_slice(&answer.body).unwrap()
}

/// Returns the path of the first piece of a film.
fn beginning() -> String {
    format!("/films/{}/stream", FILMS[0].id)
}

/// Checks that a request was refused without details.
#[track_caller]
fn assert_refused(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let members: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(members, ["message"]);
}

#[tokio::test]
async fn a_film_plays_on_a_device_that_is_signed_in() {
    let tv = Household::register().await.sign_in(TV).await;

    let answer = by(&tv, "/films").await;
    let catalogue: Catalogue = serde_json::from_slice(&answer.body).unwrap();
    let film = &catalogue.films[0];
    let first = piece(&tv, &film.stream).await;
    let second = piece(&tv, first.next.as_ref().unwrap()).await;

    assert_eq!(catalogue.films.len(), FILMS.len());
    assert_eq!((first.position, second.position), (0, 1));
    assert_ne!(first.scene, second.scene);
    assert_eq!(first.title, film.title);
}

#[tokio::test]
async fn a_film_stops_with_the_next_piece_after_a_sign_out_and_the_device_learns_why() {
    let household = Household::register().await;
    let (tv, laptop) = (household.sign_in(TV).await, household.sign_in(LAPTOP).await);
    let playing = piece(&tv, &beginning()).await;

    let done = laptop.sign_out(&tv.id).await.done(200);

    let next = playing.next.unwrap();
    assert_refused(&by(&tv, &next).await, 403);
    let why = tv.get("/v1/session").await;
    let why = why.refused(401, "session-signed-out");
    assert_eq!(why["signed_out_at"], done["sign_out"]["requested_at"]);
    assert_eq!(why["signed_out_by"]["id"], json!(laptop.id));
    // The film still plays on the other device.
    piece(&laptop, &beginning()).await;
}

#[tokio::test]
async fn every_film_stops_after_each_kind_of_end() {
    for end in ["this", "others", "global", "password"] {
        let household = Household::register().await;
        let (tv, laptop) = (household.sign_in(TV).await, household.sign_in(LAPTOP).await);
        piece(&tv, &beginning()).await;

        let answer = match end {
            "this" => tv.post("/v1/sign-out").await,
            "password" => {
                let new = Household::unregistered().password;
                laptop
                    .change_password(&household.password, &new, true)
                    .await
            }
            scope => laptop.sign_out_scope(scope).await,
        };

        let _ = answer.done(200);
        for path in [&*beginning(), "/films", "/me"] {
            assert_refused(&by(&tv, path).await, 403);
        }
        let status = by(&laptop, &beginning()).await.status;
        assert_eq!(status, if end == "global" { 403 } else { 200 }, "{end}");
    }
}

#[tokio::test]
async fn a_film_plays_again_once_the_device_has_signed_in_again() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let _ = tv.post("/v1/sign-out").await.done(200);

    let again = json!({ "device_key": tv.key });
    let again = household.sign_in_with(TV, again).await;

    piece(&again, &beginning()).await;
    assert_refused(&by(&tv, &beginning()).await, 403);
}

#[tokio::test]
async fn a_request_without_a_valid_token_is_refused() {
    let tv = Household::register().await.sign_in(TV).await;
    let cut = &tv.token[..tv.token.len() - 1];

    for path in [&*beginning(), "/films", "/me"] {
        assert_refused(&get(path).send().await, 401);
        for wrong in ["nonsense", "cft_", cut, &tv.key] {
            assert_refused(&get(path).token(wrong).send().await, 403);
        }
        let bare = get(path).header("authorization", &tv.token).send().await;
        assert_refused(&bare, 403);
    }
}

#[tokio::test]
async fn the_function_learns_the_account_only_from_the_authorizer() {
    let ours = Household::register().await.sign_in(TV).await;
    let theirs = Household::register().await.sign_in(TV).await;

    let answer = get(&format!("/me?account_id={}", theirs.account_id))
        .token(&ours.token)
        .header("account_id", &theirs.account_id)
        .header("x-amzn-request-context", "{}")
        .send()
        .await;

    let context: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(context["account_id"], json!(ours.account_id));
    assert_eq!(context["device_id"], json!(ours.id));
    assert!(context["session_id"].is_string());
}

#[test]
fn the_template_protects_every_route_and_caches_no_decision() {
    let template = template::read_at("infra/example/template.yaml").unwrap();
    let api = &template["Resources"]["FilmsApi"]["Properties"];
    let authorizers = &api["Auth"]["Authorizers"];
    let name = api["Auth"]["DefaultAuthorizer"].as_str().unwrap();
    let authorizer = &authorizers[name];
    assert_eq!(authorizer["Identity"]["ReauthorizeEvery"], 0);
    assert_eq!(authorizer["EnableSimpleResponses"], true);
    assert_eq!(authorizer["AuthorizerPayloadFormatVersion"], "2.0");
    assert_eq!(authorizer["FunctionArn"], json!({ "Ref": "AuthorizerArn" }));

    let functions = template::resources(&template, "AWS::Serverless::Function");
    let mut routes = 0;
    for (_, function) in functions {
        for event in function["Properties"]["Events"].as_object().unwrap() {
            let route = &event.1["Properties"];
            assert_eq!(route["ApiId"], json!({ "Ref": "FilmsApi" }));
            assert!(
                route.get("Auth").is_none(),
                "{route} has another authorizer"
            );
            routes += 1;
        }
    }
    assert_eq!(routes, 3);
}

#[test]
fn the_gateway_may_call_the_authorizer_only_for_this_api() {
    let template = template::read_at("infra/example/template.yaml").unwrap();
    let permissions = template::resources(&template, "AWS::Lambda::Permission");
    let [(_, permission)] = permissions.as_slice() else {
        panic!("{permissions:?}");
    };

    let permission = &permission["Properties"];
    assert_eq!(
        permission["FunctionName"],
        json!({ "Ref": "AuthorizerArn" })
    );
    assert_eq!(permission["Principal"], "apigateway.amazonaws.com");
    let source = permission["SourceArn"]["Fn::Sub"].as_str().unwrap();
    assert!(source.ends_with(":${FilmsApi}/authorizers/*"), "{source}");
}
