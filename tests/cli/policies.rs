use crate::{Folder, stalls};

/// What a replay with these policies says.
fn refused(policies: &str) -> Vec<String> {
    let folder = Folder::new();
    folder.file("policies.toml", policies);
    let ran = folder.replay(stalls(), &[]).with(78);
    assert_eq!(ran.text(), "");
    let file = folder.at("policies.toml");
    ran.stderr.lines().map(|line| line.replace(&file, "p.toml")).collect()
}

#[test]
fn policies_that_are_not_there_are_named() {
    let folder = Folder::new();
    std::fs::remove_file(folder.at("policies.toml")).unwrap();
    let ran = folder.replay(stalls(), &[]).with(78);
    assert!(ran.stderr.contains("policies.toml: cannot be read: "), "{}", ran.stderr);
}

#[test]
fn policies_without_a_catch_all_are_refused() {
    let said = refused("version = 1\n[[policy]]\nid = \"a\"\nmatch = { carrier = [\"ups\"] }\n");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("error: p.toml:2:1: "), "{said:?}");
    assert!(said[0].contains("catch-all"), "{said:?}");
}

#[test]
fn steps_that_do_not_grow_are_refused() {
    let said = refused(
        "version = 1\n[[policy]]\nid = \"a\"\nno_movement = [\n  { after = \"2d\", severity = \"notice\" },\n  { after = \"48h\", severity = \"warning\" },\n]\n",
    );
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("error: p.toml:6:13: "), "{said:?}");
    assert!(said[0].contains("steps must grow"), "{said:?}");
}

#[test]
fn unknown_keys_are_named_with_line_and_column_all_at_once() {
    let said = refused("version = 1\ncolor = 1\n[[policy]]\nid = \"a\"\n  no_movment = []\n");
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("error: p.toml:2:1: unknown key `color`"), "{said:?}");
    assert!(
        said[1].starts_with("error: p.toml:5:3: unknown key policy \"a\": `no_movment`"),
        "{said:?}"
    );
    assert!(said[1].contains("did you mean `no_movement`?"), "{said:?}");
}

#[test]
fn policies_that_are_not_toml_are_refused() {
    let said = refused("version = \n");
    assert!(said[0].starts_with("error: p.toml:1:11: not TOML: "), "{said:?}");
}
