//! A thousand connected devices of one account, on the deployed stack.

use curfew_tests::crowd::Crowd;
use serde_json::json;

const DEVICES: usize = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connected_devices_all_get_the_revocation_and_acknowledge_it() {
    let crowd = Crowd::connect(DEVICES).await;
    let report = crowd.sign_out().await;

    // The laptop that asked signs itself out, too.
    let all = DEVICES + 1;
    let expected = json!({ "devices": all, "confirmed": all, "pushed": 0, "not_reached": 0 });
    assert_eq!(report.total, expected);
    assert_eq!(report.devices.len(), all);
    assert_eq!(report.pushes.len(), DEVICES);
    for part in &report.devices {
        assert_eq!(part["state"], "acknowledged", "{part}");
        assert!(part["acknowledged_at"].is_string(), "{part}");
    }
    println!(
        "{DEVICES} devices reached and confirmed, {} revocations arrived more than once",
        report.repeated
    );
}
