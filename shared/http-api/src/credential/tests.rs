use super::*;
use crate::request::tests::request;

#[test]
fn a_token_comes_in_one_way_only() {
    let bearer = ("authorization", "Bearer cft_x");
    let cookie = ("cookie", "__Host-curfew=cft_x");
    assert_eq!(
        request(&[], None).token().unwrap_err(),
        Problem::TokenMissing
    );
    let both = request(&[bearer, cookie], None).token().unwrap_err();
    assert_eq!(both.name(), "request-invalid");
    let twice = request(&[bearer, bearer], None).token().unwrap_err();
    assert_eq!(twice.name(), "request-invalid");
    let two_cookies = ("cookie", "__Host-curfew=a; __Host-curfew=b");
    assert_eq!(
        request(&[two_cookies], None).token().unwrap_err().name(),
        "request-invalid"
    );
    for scheme in ["Basic cft_x", "Bearer", "cft_x", "Bearer  cft_x", ""] {
        let problem = request(&[("authorization", scheme)], None)
            .token()
            .unwrap_err();
        assert_eq!(problem, Problem::TokenInvalid, "{scheme}");
    }
}
