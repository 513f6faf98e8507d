//! A thousand connected devices of one account, on the deployed stack.

use curfew_client::{Api, SessionCheck};
use curfew_tests::crowd::Crowd;
use curfew_tests::stack::api_url;
use serde_json::json;

const DEVICES: usize = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connected_devices_all_get_the_revocation_and_acknowledge_it() {
    let crowd = Crowd::connect(DEVICES).await;
    let connecting = crowd.connecting;
    let mut report = crowd.sign_out().await;

    // The laptop that asked signs itself out, too.
    let all = DEVICES + 1;
    let expected =
        json!({ "devices": all, "wiped": all, "notified": 0, "seen": 0, "not_reached": 0 });
    assert_eq!(report.total, expected);
    assert_eq!(report.devices.len(), all);
    assert_eq!(report.pushes.len(), DEVICES);
    for part in &report.devices {
        assert_eq!(part["state"], "wiped", "{part}");
        assert!(part["wiped_at"].is_string(), "{part}");
    }
    let api = Api::new(api_url()).unwrap();
    for token in report.tokens {
        let check = api.check_session(&token).await;
        assert!(matches!(check, SessionCheck::Ended(_)), "{check:?}");
    }
    report.pushes.sort();
    let [p50, p99, last] = [50, 99, 100].map(|percent| report.pushes[DEVICES * percent / 100 - 1]);
    println!(
        "{DEVICES} devices: connected in {connecting:?}; notified after {p50:?} (p50), {p99:?} (p99), \
         {last:?} (last), {} twice; the receipt was complete after {:?}",
        report.repeated, report.wiped
    );
}
