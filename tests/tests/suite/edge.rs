//! `infra/edge.yaml`: the distribution in front of the API, on the local AWS. Its web
//! ACL and its function do nothing there, and CloudFront's own headers are missing, so
//! these are checked in the template.

use std::collections::BTreeSet;
use std::fs;

use curfew_tests::client::{Api, Device, Household, TV, unique};
use curfew_tests::cloudformation::{Change, change, described};
use curfew_tests::stack::{SECRET, allowed_origin, stack};
use curfew_tests::template;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

fn edge() -> Value {
    template::read_at("infra/edge.yaml").unwrap()
}

/// Returns what the distribution does with requests.
fn distribution(edge: &Value) -> &Value {
    &edge["Resources"]["Distribution"]["Properties"]["DistributionConfig"]
}

/// Returns the template, for an API on this machine, over HTTP.
fn local(port: u16) -> Value {
    let mut edge = edge();
    let config = &mut edge["Resources"]["Distribution"]["Properties"]["DistributionConfig"];
    let local = json!({ "OriginProtocolPolicy": "http-only", "HTTPPort": port });
    config["Origins"][0]["CustomOriginConfig"] = local;
    // The local CloudFront does not have the module that the function uses, and leaves
    // out Host by another policy.
    let behavior = config["DefaultCacheBehavior"].as_object_mut().unwrap();
    behavior.remove("FunctionAssociations");
    let policy = &mut edge["Resources"]["OriginRequest"]["Properties"];
    let headers = json!({ "HeaderBehavior": "allExcept", "Headers": ["Host"] });
    policy["OriginRequestPolicyConfig"]["HeadersConfig"] = headers;
    edge["Resources"]
        .as_object_mut()
        .unwrap()
        .remove("OriginHost");
    edge["Outputs"].as_object_mut().unwrap().remove("Url");
    edge
}

/// Returns the id of the oldest valid version of the secret: another test rotates it.
async fn oldest_version() -> String {
    let secrets = stack().aws.clients().secrets();
    let version = |stage| {
        let read = secrets.get_secret_value().secret_id(SECRET);
        read.version_stage(stage).send()
    };
    let found = match version("AWSPREVIOUS").await {
        Ok(previous) => previous,
        Err(_) => version("AWSCURRENT").await.unwrap(),
    };
    found.version_id.unwrap()
}

/// Returns the host of a distribution in front of the stack under test.
async fn host() -> &'static str {
    static HOST: OnceCell<String> = OnceCell::const_new();
    let deploy = || async {
        let (_, port) = stack().aws.endpoint_url.rsplit_once(':').unwrap();
        let api = stack().outputs["ApiUrl"].trim_start_matches("https://");
        let (id, _) = api.split_once('.').unwrap();
        let path = format!("/_aws/execute-api/{id}/$default");
        let version = oldest_version().await;
        let parameters = [
            ("ApiDomain", "localhost"),
            ("ApiPath", &path),
            ("DistributionSecret", SECRET),
            ("SecretVersion", &version),
        ];
        let (name, template) = (format!("edge-{}", unique()), local(port.parse().unwrap()));
        change(&name, Change::Create(&template), &parameters).await;
        described(&name).await.element("OutputValue").unwrap()
    };
    HOST.get_or_init(deploy).await
}

/// Returns the API behind the distribution. Calls need its host.
fn cloudfront() -> Api {
    Api::at(&stack().aws.endpoint_url)
}

#[tokio::test]
async fn the_distribution_proves_itself_and_replaces_a_forged_proof() {
    let household = Household::register().await;
    let viewer = |call: curfew_tests::client::Call| {
        call.json(&household.credentials())
            .header("cloudfront-viewer-address", "2001:db8::7:443")
            .header("cloudfront-viewer-city", "Lisbon")
            .header("x-curfew-distribution", "forged-0123456789abcdef0123456789")
    };

    let through = viewer(cloudfront().call("POST", "/v1/login")).header("host", host().await);
    let through = through.send().await.done(200);
    let beside = viewer(Api::default().call("POST", "/v1/login"));
    let beside = beside.send().await.done(200);

    assert_eq!(through["device"]["ip"], "2001:db8::7");
    assert_eq!(through["device"]["location"]["city"], "Lisbon");
    assert_eq!(beside["device"]["ip"], "127.0.0.1");
    assert_eq!(beside["device"]["location"], Value::Null);
}

#[tokio::test]
async fn every_method_header_cookie_and_query_reaches_the_api_and_nothing_is_cached() {
    let host = host().await;
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let call = |method, path: &str, device: &Device| {
        let call = cloudfront().call(method, path).header("host", host);
        call.token(&device.token)
    };

    let renamed = call("PATCH", &format!("/v1/devices/{}", tv.id), &tv);
    let renamed = renamed.json(&json!({ "name": "Attic" })).send().await;
    assert_eq!(renamed.done(200)["device"]["name"], "Attic");
    let listed = call("GET", "/v1/devices?limit=0", &tv).send().await;
    assert_eq!(listed.invalid(), "limit");
    let read = call("GET", "/v1/session", &tv).send().await.done(200);
    assert_eq!(read["device"]["name"], "Attic");
    let _ = call("POST", "/v1/sign-out", &tv).send().await.done(200);
    let refused = call("GET", "/v1/session", &tv).send().await;
    let _ = refused.refused(401, "session-signed-out");

    let origin = allowed_origin().unwrap();
    let page = household.log_in(json!({ "transport": "cookie" }));
    let page = page.header("origin", &origin).send().await;
    let cookies: Vec<&str> = page.cookies();
    let cookie = cookies[0].split(';').next().unwrap();
    let read = cloudfront().call("GET", "/v1/session").header("host", host);
    let read = read.header("origin", &origin).header("cookie", cookie);
    let read = read.send().await;
    assert_eq!(read.header("access-control-allow-origin"), Some(&*origin));
    let _ = read.done(200);
}

#[test]
fn the_distribution_forwards_the_headers_that_are_read_and_its_own_secret() {
    let source = curfew::root().join("shared/http-api/src/request.rs");
    let source = fs::read_to_string(source).unwrap();
    let read: BTreeSet<String> = source
        .split('"')
        .filter(|text| text.starts_with("cloudfront-"))
        .map(str::to_owned)
        .collect();

    let edge = edge();
    let policy = &edge["Resources"]["OriginRequest"]["Properties"]["OriginRequestPolicyConfig"];
    let headers = &policy["HeadersConfig"];
    assert_eq!(headers["HeaderBehavior"], "allViewerAndWhitelistCloudFront");
    let forwarded = headers["Headers"].as_array().unwrap().iter();
    let forwarded: BTreeSet<String> = forwarded
        .map(|name| name.as_str().unwrap().to_lowercase())
        .collect();
    assert_eq!(forwarded, read);
    assert_eq!(policy["CookiesConfig"]["CookieBehavior"], "all");
    assert_eq!(policy["QueryStringsConfig"]["QueryStringBehavior"], "all");

    let header = &distribution(&edge)["Origins"][0]["OriginCustomHeaders"][0];
    let name = format!("{}", header["HeaderName"]);
    assert!(source.contains(&format!("DISTRIBUTION_HEADER: &str = {name}")));
    // API Gateway knows only its own host, and the policy forwards the viewer's.
    let function = edge["Resources"]["OriginHost"]["Properties"]["FunctionCode"].to_string();
    assert!(
        function.contains("hostHeader: '${ApiDomain}'"),
        "{function}"
    );
}

#[test]
fn the_distribution_caches_nothing_not_even_an_error() {
    let edge = edge();
    let config = distribution(&edge);
    let behavior = &config["DefaultCacheBehavior"];
    let disabled = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad";
    assert_eq!(behavior["CachePolicyId"], disabled);
    assert_eq!(behavior["ViewerProtocolPolicy"], "https-only");
    assert!(config.get("CacheBehaviors").is_none());
    let errors = config["CustomErrorResponses"].as_array().unwrap();
    let codes = [400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504];
    let never = codes.map(|code| json!({ "ErrorCode": code, "ErrorCachingMinTTL": 0 }));
    assert_eq!(errors, &never);
}

#[test]
fn the_web_acl_limits_each_route_that_hashes_and_keeps_no_header() {
    let whole = template::read().unwrap();
    let settings = &whole["Resources"]["HttpApi"]["Properties"]["RouteSettings"];
    let hashing: Vec<&String> = settings.as_object().unwrap().keys().collect();
    let edge = edge();
    let acl = &edge["Resources"]["WebAcl"]["Properties"];

    let sign_ins = &acl["Rules"][0]["Statement"]["RateBasedStatement"];
    assert_eq!(sign_ins["AggregateKeyType"], "IP");
    let pattern = &sign_ins["ScopeDownStatement"]["RegexMatchStatement"]["RegexString"];
    let pattern = pattern.as_str().unwrap();
    let names = pattern.trim_start_matches("/v1/(").trim_end_matches(")/?$");
    let limited: BTreeSet<String> = names.split('|').map(|name| format!("/v1/{name}")).collect();
    let paths = hashing.iter().map(|route| route.split_once(' ').unwrap().1);
    // A backend is one address that signs many people in, and IAM knows it.
    let paths = paths.filter(|path| !path.starts_with("/v1/backend/"));
    assert_eq!(limited, paths.map(str::to_owned).collect());

    let rules = acl["Rules"].as_array().unwrap().iter();
    for part in rules.chain([acl]) {
        let sampled = &part["VisibilityConfig"]["SampledRequestsEnabled"];
        assert_eq!(sampled, false, "a sample holds the token");
    }
}
