//! The load generator, a process of its own: runs `wrk` and reads what it prints.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Command;

/// Connections that are kept busy all the time, unless a case wants another number.
pub(crate) const CONNECTIONS: usize = 32;

/// What is put under load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    /// The whole URL.
    pub(crate) url: &'a str,
    /// The host name to ask for, where it is not that of the URL.
    pub(crate) host: Option<&'a str>,
    /// Connections that are kept busy all the time.
    pub(crate) connections: usize,
}

impl<'a> Target<'a> {
    /// A URL with as many connections as most cases use.
    pub(crate) fn new(url: &'a str) -> Self {
        Self {
            url,
            host: None,
            connections: CONNECTIONS,
        }
    }
}

/// What one run of load found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    /// Answers a second.
    pub(crate) requests_per_second: f64,
    /// Half of them took at most this long.
    pub(crate) p50_ms: f64,
    /// 99 of 100 took at most this long.
    pub(crate) p99_ms: f64,
}

/// Asks for the target over and over. Fails when any answer was not a success.
pub(crate) async fn run(target: Target<'_>, duration: Duration) -> anyhow::Result<Load> {
    let url = target.url;
    let mut command = Command::new("wrk");
    command
        .args(["--latency", "--threads", "1", "--connections"])
        .arg(target.connections.to_string())
        .arg("--duration")
        .arg(format!("{}s", duration.as_secs().max(1)));
    if let Some(host) = target.host {
        command.arg("--header").arg(format!("Host: {host}"));
    }
    let output = command
        .arg(url)
        .kill_on_drop(true)
        .output()
        .await
        .context("wrk did not start\nhint: `cargo xtask bench` installs it")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!(
            "wrk failed on {url}: {}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    parse(&text).with_context(|| format!("load on {url}:\n{text}"))
}

/// Reads the report of `wrk --latency`.
fn parse(text: &str) -> anyhow::Result<Load> {
    for trouble in ["Non-2xx or 3xx responses", "Socket errors"] {
        if let Some(line) = text
            .lines()
            .find(|line| line.trim_start().starts_with(trouble))
        {
            bail!("not every request succeeded: {}", line.trim());
        }
    }
    let value = |label: &str| {
        text.lines()
            .find_map(|line| line.trim_start().strip_prefix(label))
            .map(str::trim)
    };
    let rate = value("Requests/sec:").context("wrk reports no rate")?;
    Ok(Load {
        requests_per_second: rate
            .parse()
            .with_context(|| format!("`{rate}` is not a rate"))?,
        p50_ms: milliseconds(value("50%").context("wrk reports no median")?)?,
        p99_ms: milliseconds(value("99%").context("wrk reports no 99th percentile")?)?,
    })
}

/// `250.00us`, `5.80ms`, `1.20s`, `2.00m` in milliseconds.
fn milliseconds(text: &str) -> anyhow::Result<f64> {
    let unit = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let factor = match unit {
        "us" => 0.001,
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" => 60_000.0,
        _ => bail!("`{text}` is not a time"),
    };
    let number: f64 = number
        .parse()
        .with_context(|| format!("`{text}` is not a time"))?;
    Ok(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "Running 4s test @ http://127.0.0.1:8000/hello
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.10ms  400.00us  12.00ms   93.00%
    Req/Sec    30.20k     1.07k   32.00k    86.00%
  Latency Distribution
     50%  500.00us
     75%    1.20ms
     90%    1.60ms
     99%    2.50ms
  120800 requests in 4.00s, 17.00MB read
Requests/sec:  30200.53
Transfer/sec:      4.25MB
";

    #[test]
    fn a_report_is_read() {
        let load = parse(REPORT).unwrap();
        assert_eq!(
            load,
            Load {
                requests_per_second: 30_200.53,
                p50_ms: 0.5,
                p99_ms: 2.5
            }
        );
    }

    #[test]
    fn times_come_in_four_units() {
        let ms = |text| milliseconds(text).unwrap();
        assert_eq!(
            (ms("5.80ms"), ms("1.20s"), ms("2.00m")),
            (5.8, 1_200.0, 120_000.0)
        );
        assert!(milliseconds("5 parsecs").is_err() && milliseconds("").is_err());
    }

    #[test]
    fn figures_of_failing_requests_are_refused() {
        let failing = REPORT.replace(
            "Requests/sec",
            "  Non-2xx or 3xx responses: 12\nRequests/sec",
        );
        assert!(
            parse(&failing)
                .unwrap_err()
                .to_string()
                .contains("responses: 12")
        );
        let broken = REPORT.replace(
            "Requests/sec",
            "  Socket errors: connect 0, read 3, write 0, timeout 0\nRequests/sec",
        );
        assert!(parse(&broken).unwrap_err().to_string().contains("read 3"));
        assert!(parse("nothing").is_err());
    }
}
