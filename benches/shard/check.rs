//! What `cargo test` runs: the bench in small, to see that the contestants agree.

use std::process::ExitCode;

use crate::contest::Plan;
use crate::numbers;
use crate::peers::PEERS;

const PLAN: Plan = Plan { packages: 20_000, events: 200_000, seed: 1, bare: false };

type Check = fn() -> Result<(), String>;

/// Prints what failed.
pub fn run() -> ExitCode {
    let checks: [(&str, Check); 2] = [
        ("no_two_packages_have_one_number", || numbers::check(200_000)),
        ("detector_and_peers_find_the_same_silences", contestants_agree),
    ];
    let mut failed = 0;
    for (name, check) in checks {
        let result = check();
        println!("test {name} ... {}", if result.is_ok() { "ok" } else { "FAILED" });
        if let Err(problem) = result {
            failed += 1;
            eprintln!("{problem}");
        }
    }
    let (passed, verdict) = (checks.len() - failed, if failed == 0 { "ok" } else { "FAILED" });
    println!("test result: {verdict}. {passed} passed; {failed} failed; 0 ignored");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn contestants_agree() -> Result<(), String> {
    let peers: Vec<_> = PEERS.iter().collect();
    let report = crate::contest(&PLAN, &peers).map_err(|error| error.to_string())?;
    if report.expiries() == 0 {
        return Err("nothing expired, so nothing was compared".to_owned());
    }
    match report.disagreements().as_slice() {
        [] => Ok(()),
        all => Err(all.join("\n")),
    }
}
