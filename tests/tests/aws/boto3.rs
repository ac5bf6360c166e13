//! boto3, through `HTTP_PROXY`.

use throughline_tests::{Call, Cloud, Collector, raw};

use super::{assert_traced, assert_untouched, outbound, run_twice, valid_and_traced};

#[tokio::test]
async fn every_call_of_boto3_is_traced_and_its_signature_stays_valid() {
    let calls = &valid_and_traced("archive.py").await;
    let count = |is_one: &dyn Fn(&Call) -> bool| calls.iter().filter(|call| is_one(call)).count();
    let payload = |call: &Call| call.values("x-amz-content-sha256").concat();
    assert_eq!(count(&|call| payload(call) == "UNSIGNED-PAYLOAD"), 1);
    assert_eq!(count(&|call| call.target.contains("X-Amz-Signature=")), 2);
    assert_eq!(count(&|call| call.target.contains("partNumber=")), 2);
    assert!(count(&|call| call.target.contains("/%C3%BC//..x%252F%26")) > 1);
    assert!(count(&|call| !call.values("x-amz-target").is_empty()) > 9);
    println!("boto3: {} of {0} calls are valid", calls.len());
}

#[tokio::test]
async fn a_request_that_is_signed_for_many_regions_stays_valid_too() {
    let (cloud, collector) = tokio::join!(Cloud::start(), Collector::start());
    let sidecar = outbound(&collector).await;
    let [direct, through] = run_twice("regions.py", &cloud, &sidecar).await;
    assert_untouched(&direct.calls, &through.calls);
    assert_traced(&through.calls, &collector).await;
    assert_eq!(through.written["got"], "anywhere");
    assert_eq!(through.written["link"], "anywhere");

    let is_asymmetric = |call: &&Call| {
        let algorithm = "AWS4-ECDSA-P256-SHA256";
        let authorization = call.values("authorization").concat();
        authorization.starts_with(algorithm) || call.target.contains(algorithm)
    };
    let asymmetric: Vec<&Call> = through.calls.iter().filter(is_asymmetric).collect();
    let [_put, get, _presigned] = asymmetric[..] else {
        panic!("a put, a get and a presigned get: {asymmetric:?}");
    };

    // The judge knows them by their signatures, and not by their looks.
    let mut again = format!("{} {} HTTP/1.1\r\n", get.method, get.target);
    for (name, value) in &get.headers {
        again.push_str(&format!("{name}: {value}\r\n"));
    }
    again.push_str("connection: close\r\n\r\n");
    let elsewhere = again.replacen("region-set: eu-west-1", "region-set: eu-west-2", 1);
    raw(cloud.address(), again).await;
    raw(cloud.address(), elsewhere).await;
    let calls = cloud.calls().await;
    let verdicts: Vec<&str> = calls.iter().map(|call| &*call.verdict).collect();
    assert_eq!(verdicts[0], "valid");
    assert!(verdicts[1].starts_with("invalid"), "{verdicts:?}");
}
