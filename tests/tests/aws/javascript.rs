//! The AWS SDK for JavaScript, version 3, through a proxy agent.

use throughline_tests::Call;

use super::valid_and_traced;

#[tokio::test]
async fn every_call_of_the_sdk_for_javascript_is_traced_and_its_signature_stays_valid() {
    let calls = &valid_and_traced("photos.js").await;
    let count = |is_one: &dyn Fn(&Call) -> bool| calls.iter().filter(|call| is_one(call)).count();
    let payload = |call: &Call| call.values("x-amz-content-sha256").concat();
    let streamed = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    assert_eq!(count(&|call| payload(call) == streamed), 2);
    assert_eq!(count(&|call| call.target.contains("X-Amz-Signature=")), 2);
    assert_eq!(count(&|call| call.target.contains("partNumber=")), 2);
    assert!(count(&|call| call.target.contains("/%C3%BC//..x%252F%26")) > 1);
    assert!(count(&|call| !call.values("x-amz-target").is_empty()) > 9);
    println!("JavaScript: {} of {0} calls are valid", calls.len());
}
