//! curl, as a client that nobody here wrote.

use tokio::process::Command;

/// What curl got.
#[derive(Clone, Debug)]
pub struct Curl {
    /// The status of the last answer; 0 where there was none.
    pub status: u16,
    /// The body.
    pub body: String,
    /// The headers of all answers as curl shows them, and what it says itself.
    pub log: String,
    /// Its exit code; 0 when it got an answer.
    pub code: i32,
}

/// Runs curl with these arguments, without any configuration of the user or a proxy from the
/// environment.
///
/// # Panics
///
/// When curl is not installed.
pub async fn curl(arguments: &[&str]) -> Curl {
    let output = Command::new("curl")
        .args(["--disable", "--silent", "--show-error", "--max-time", "30"])
        .args([
            "--dump-header",
            "/dev/stderr",
            "--write-out",
            "\n%{http_code}",
        ])
        .args(arguments)
        .env_remove("http_proxy")
        .env_remove("ALL_PROXY")
        .env_remove("all_proxy")
        .kill_on_drop(true)
        .output()
        .await
        .expect("curl is needed for the tests; install it with `apt-get install curl`");
    let out = String::from_utf8_lossy(&output.stdout);
    let (body, status) = out.rsplit_once('\n').unwrap_or((&out, "0"));
    Curl {
        status: status.parse().unwrap_or_default(),
        body: body.to_owned(),
        log: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code().unwrap_or(-1),
    }
}
