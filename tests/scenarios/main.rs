//! Plays every `tests/scenarios/*.txt` through the real detector and compares what it says with
//! what the file promises. README.md beside this file describes the language.
//!
//! `UPDATE_EXPECT=1` rewrites what stands under `----`; `SCENARIO=text` plays only the files whose
//! name contains the text.

mod runner;

use std::fs;
use std::panic;
use std::path::{Path, PathBuf};

use runner::{Pace, Played, Script};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

fn scenario_files() -> Vec<PathBuf> {
    let wanted = std::env::var("SCENARIO").unwrap_or_default();
    let mut files: Vec<PathBuf> = fs::read_dir(directory())
        .expect("the directory of the scenarios can be read")
        .map(|entry| entry.expect("its entries can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .filter(|path| name(path).contains(&wanted))
        .collect();
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().expect("a scenario has a file name").to_string_lossy().into_owned()
}

/// Everything wrong with one file; rewrites its expectations first if asked to.
fn problems_of(path: &Path, update: bool) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a scenario is a text file");
    let script = match Script::parse(&text) {
        Ok(script) => script,
        Err(problems) => return problems,
    };
    let played = match runner::play(&script, Pace::AsWritten) {
        Ok(played) => played,
        Err(problem) => return vec![problem],
    };
    let mut problems = paces_differ(&script, &played);
    let rewritten = script.with_results(&played.blocks);
    if update && rewritten != text {
        fs::write(path, rewritten).expect("a scenario can be rewritten");
        println!("{}: rewritten", name(path));
    } else if !update {
        problems.extend(script.differences(&played.blocks));
    }
    problems
}

/// One log, one outcome: batch size and further advances of the frontier change nothing.
fn paces_differ(script: &Script, as_written: &Played) -> Vec<String> {
    let mut problems = Vec::new();
    match runner::play(script, Pace::OneBatch) {
        Ok(played) if played.told() == as_written.told() => {}
        Ok(played) => problems.push(format!(
            "the outcome differs when records that follow each other are applied as one batch:\n{}",
            runner::compare(&as_written.told(), &played.told())
        )),
        Err(problem) => problems.push(problem),
    }
    match runner::play(script, Pace::ManyAdvances) {
        Ok(played) if played.told_by_package() == as_written.told_by_package() => {}
        Ok(played) => problems.push(format!(
            "the outcome differs when the frontier advances before every record:\n{}",
            runner::compare(&as_written.told_by_package(), &played.told_by_package())
        )),
        Err(problem) => problems.push(problem),
    }
    let replays = as_written.replays_differ.iter();
    problems.extend(replays.map(|difference| {
        format!(
            "a replay of the same records tells another story (- here, + replay):\n{difference}"
        )
    }));
    problems
}

#[test]
fn every_scenario_ends_as_it_says() {
    let update = std::env::var("UPDATE_EXPECT").is_ok_and(|value| value == "1");
    let files = scenario_files();
    assert!(!files.is_empty(), "no scenario found");
    let mut report = String::new();
    let mut failed = 0;
    for path in &files {
        let problems = panic::catch_unwind(|| problems_of(path, update))
            .unwrap_or_else(|_| vec!["the detector panicked, see above".to_owned()]);
        if !problems.is_empty() {
            failed += 1;
        }
        for problem in problems {
            report.push_str(&format!("tests/scenarios/{}: {problem}\n", name(path)));
        }
    }
    assert!(failed == 0, "{failed} of {} scenarios differ:\n\n{report}", files.len());
}

#[test]
fn the_readme_names_every_scenario_and_no_other() {
    let readme = fs::read_to_string(directory().join("README.md")).expect("README.md is there");
    let mut named: Vec<&str> = readme
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| code.ends_with(".txt") && !code.contains(['*', '/']))
        .collect();
    named.sort_unstable();
    named.dedup();
    let present: Vec<String> = fs::read_dir(directory())
        .expect("the directory of the scenarios can be read")
        .map(|entry| name(&entry.expect("its entries can be read").path()))
        .filter(|name| name.ends_with(".txt"))
        .collect();
    let missing: Vec<_> = present.iter().filter(|name| !named.contains(&name.as_str())).collect();
    let gone: Vec<_> = named.iter().filter(|name| !present.iter().any(|p| p == *name)).collect();
    assert!(missing.is_empty(), "README.md does not name {missing:?}");
    assert!(gone.is_empty(), "README.md names what is not there: {gone:?}");
}
