//! What lies in deploy/ sets the service by its environment: these are real settings.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(project().join(path)).unwrap()
}

/// The variables of a manifest whose values stand there, as `NAME: value` or as `name:` and `value:`.
fn variables(manifest: &str) -> Vec<(String, String)> {
    let unquoted = |text: &str| text.trim().trim_matches('"').to_owned();
    let lines: Vec<_> = manifest.lines().map(str::trim).collect();
    let named = lines.iter().enumerate().filter_map(|(at, line)| {
        if let Some(name) = line.strip_prefix("- name: ") {
            let value = lines.get(at + 1)?.strip_prefix("value: ")?;
            return Some((name.to_owned(), unquoted(value)));
        }
        let (name, value) = line.split_once(": ")?;
        Some((name.to_owned(), unquoted(value)))
    });
    let ours = |name: &str| name.starts_with("STALLWATCH__") || name == "KAFKA_BOOTSTRAP_SERVERS";
    named.filter(|(name, _)| ours(name)).collect()
}

/// Checks the shipped configuration under these variables; files that they name stand elsewhere.
fn assert_valid(manifest: &str, mut variables: Vec<(String, String)>, least: usize) {
    assert!(variables.len() >= least, "{manifest}: {variables:?}");
    let here = tempfile::tempdir().unwrap();
    for (name, value) in &mut variables {
        // As Kubernetes fills them in.
        *value = value.replace("$(POD_NAME)", "pod-0").replace("$(POD_NAMESPACE)", "parcels");
        if name.ends_with("_FILE") {
            *value = stand_in(here.path(), value).display().to_string();
        }
    }
    let config = project().join("deploy/stallwatch.toml");
    let ran = command(&["validate", "--config", config.to_str().unwrap()])
        .envs(variables)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{manifest}: {said}");
}

/// The policies are compose's own, authorities the tests'; secrets are any text that is long enough for
/// a token.
fn stand_in(here: &Path, named: &str) -> PathBuf {
    if named.ends_with("demo-policies.toml") {
        return project().join("deploy/compose/policies.toml");
    }
    if named.ends_with(".crt") {
        return project().join("tests/cli/authority.pem");
    }
    let file = here.join(named.rsplit('/').next().unwrap());
    fs::write(&file, "a-secret-of-the-tests").unwrap();
    file
}

#[test]
fn the_stateful_set_sets_what_the_configuration_knows() {
    let manifest = "deploy/kubernetes/stateful-set.yaml";
    assert_valid(manifest, variables(&read(manifest)), 9);
}

#[test]
fn the_stateful_set_with_a_bucket_sets_what_the_configuration_knows() {
    let manifest = "deploy/kubernetes/components/bucket/stateful-set.yaml";
    assert_valid(manifest, variables(&read(manifest)), 1);
}

#[test]
fn the_stateful_set_with_an_admin_listener_sets_what_the_configuration_knows() {
    let manifest = "deploy/kubernetes/components/admin/stateful-set.yaml";
    assert_valid(manifest, variables(&read(manifest)), 3);
}

#[test]
fn compose_sets_what_the_configuration_knows() {
    let manifest = "deploy/compose.yaml";
    assert_valid(manifest, variables(&read(manifest)), 8);
}

#[test]
fn the_unit_of_systemd_sets_what_the_configuration_knows() {
    let unit = read("deploy/systemd/stallwatch.service");
    let set = unit.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('='));
    let set = set.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert_valid("deploy/systemd/stallwatch.service", set, 1);
}

#[cfg(feature = "kafka")]
#[test]
fn the_user_for_strimzi_has_the_rights_that_are_printed_and_no_more() {
    let config = project().join("deploy/stallwatch.toml");
    let config = config.to_str().unwrap();
    let ran = command(&["acls", "print", "--config", config, "--user", "stallwatch", "--strimzi"])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let printed = String::from_utf8(ran.stdout).unwrap();
    let shipped = read("deploy/strimzi/user.yaml");
    let rights = |yaml: &str| yaml.split_once("  authorization:\n").unwrap().1.to_owned();
    assert_eq!(rights(&shipped), rights(&printed));
}
