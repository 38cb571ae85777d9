use super::*;
use crate::detector::exception::Kind;

const WHOLE: &str = r#"
version = 1
[defaults]
forget_after = "30d"
settled_retention = "6d"
catch_up_grace = "5m"
feed_grace = "1h"
[carriers.DHL]
feed_grace = "6h"
[[policy]]
id = "ups-out-for-delivery"
match = { carrier = [" UPS"], milestone = ["out_for_delivery"], service = ["Ground"] }
no_movement = [ { after = "14h", severity = "critical", name = "not_delivered" } ]
[[policy]]
id = "everything-else"
first_scan  = [ { after = "48h", severity = "warning" } ]
no_movement = [
  { after = "72h", severity = "warning" },
  { after = "7d", severity = "critical", name = "" },
]
"#;

fn problems(text: &str) -> Vec<String> {
    let problems = parse("p.toml", text).expect_err("the file has problems");
    problems.iter().map(ToString::to_string).collect()
}

/// The smallest good file, with more in front of its catch-all.
fn with(more: &str) -> String {
    format!("version = 1\n{more}\n[[policy]]\nid = \"rest\"\n")
}

#[test]
fn a_file_is_read_as_it_is_meant() {
    let set = parse("p.toml", WHOLE).unwrap();
    let defaults = set.defaults();
    assert_eq!(defaults.forget_after, 30 * 86_400);
    assert_eq!(defaults.settled_retention, 6 * 86_400);
    assert_eq!(defaults.catch_up_grace, 300);
    assert_eq!(set.feed_grace("dhl"), 6 * 3_600);
    assert_eq!(set.feed_grace("ups"), 3_600);
    let [first, last] = set.policies() else { panic!("two policies") };
    let conditions = first.conditions.as_ref().unwrap();
    assert_eq!(conditions.carrier.as_deref(), Some(&["ups".to_owned()][..]));
    assert_eq!(conditions.milestone.as_deref(), Some(&[Milestone::OutForDelivery][..]));
    assert_eq!(conditions.service.as_deref(), Some(&["Ground".to_owned()][..]));
    assert_eq!(&*first.no_movement[0].name, "not_delivered");
    assert!(first.first_scan.is_empty());
    let ladder = last.ladder(Kind::NoMovement);
    assert_eq!(ladder[1].after, 7 * 86_400);
    assert_eq!(&*ladder[1].name, "critical");
    assert_eq!(ladder[1].severity, Severity::Critical);
}

#[test]
fn layout_and_comments_do_not_change_the_identity_of_a_set() {
    let commented = WHOLE.replace("[defaults]", "# about time\n\n[defaults]");
    let hash = |text: &str| parse("p.toml", text).unwrap().hash().clone();
    assert_eq!(hash(WHOLE), hash(&commented));
    assert_ne!(hash(WHOLE), hash(&WHOLE.replace("14h", "15h")));
}

#[test]
fn defaults_hold_where_the_file_says_nothing() {
    let set = parse("p.toml", &with("")).unwrap();
    assert_eq!(set.defaults(), &Defaults::default());
}

#[test]
fn an_empty_file_lacks_a_version_and_a_policy() {
    let found = problems("");
    assert_eq!(found.len(), 2);
    assert!(found[0].starts_with("p.toml:1:1: "), "{found:?}");
    assert!(found.iter().any(|line| line.contains("`version` is missing")), "{found:?}");
    assert!(found.iter().any(|line| line.contains("catch-all")), "{found:?}");
}

#[test]
fn a_file_without_a_catch_all_is_refused_at_its_last_policy() {
    let found = problems("version = 1\n[[policy]]\nid = \"a\"\nmatch = { carrier = [\"ups\"] }\n");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("p.toml:2:1: the last policy, \"a\", has a `match`"), "{found:?}");
}

#[test]
fn a_catch_all_that_is_not_last_is_refused() {
    let found = problems(&with("[[policy]]\nid = \"early\""));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("p.toml:2:1: policy \"early\" has no `match`"), "{found:?}");
}

#[test]
fn steps_that_do_not_grow_are_named_where_they_stand() {
    let ladder = r#"no_movement = [
  { after = "48h", severity = "notice" },
  { after = "48h", severity = "warning" },
]"#;
    let found = problems(&format!("{}{ladder}\n", with("")));
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("p.toml:7:13: policy \"rest\": `no_movement` step 1"),
        "{found:?}"
    );
}

#[test]
fn steps_beyond_forgetting_are_named_where_they_stand() {
    let found = problems(&format!(
        "{}first_scan = [{{ after = \"60d\", severity = \"notice\" }}]\n",
        with("")
    ));
    assert!(found[0].starts_with("p.toml:5:25: "), "{found:?}");
    assert!(found[0].contains("raise forget_after"), "{found:?}");
}

#[test]
fn every_problem_is_found_at_once_and_each_only_once() {
    let text = r#"version = 2
colour = "blue"
[defaults]
forget_aftre = "60d"
settled_retention = 7
[carriers."d h l"]
feed_grace = "6h"
[carriers.ups]
feed_grace = "1500ms"
[[policy]]
id = "a"
match = { carrier = ["u p s"], milestone = ["arived", "departed"], sevice = ["x"], shipper = [] }
no_movement = [ { after = "14x", severity = "critcal" }, { severity = "notice" } ]
[[policy]]
id = "a"
first_scan = 7
"#;
    let found = problems(text);
    let expected = [
        "p.toml:1:11: version 2 is not known; this build reads 1",
        "p.toml:2:1: unknown key `colour`; known here: calendars, carriers, defaults, policy, version",
        "p.toml:4:1: unknown key `defaults.forget_aftre`; did you mean `forget_after`?",
        "p.toml:5:21: `defaults.settled_retention` must be a duration with a unit, such as \"48h\", not a whole number",
        "p.toml:6:11: carrier \"d h l\": the carrier must be 1 to 32 characters",
        "p.toml:9:14: `carriers.ups.feed_grace` is 1s500ms, but must be whole seconds",
        "p.toml:12:22: policy \"a\": `match.carrier`: the carrier must be 1 to 32 characters",
        "p.toml:12:45: policy \"a\": `match.milestone`: has the unknown value \"arived\"; did you mean \"arrived\"?",
        "p.toml:12:68: unknown key policy \"a\": `match.sevice`; did you mean `service`?",
        "p.toml:12:94: policy \"a\": `match.shipper` is empty",
        "p.toml:13:27: policy \"a\": `no_movement[0].after` = \"14x\" is no duration",
        "p.toml:13:45: policy \"a\": `no_movement[0].severity` has the unknown value \"critcal\"; did you mean \"critical\"?",
        "p.toml:13:58: policy \"a\": `no_movement[1].after` is missing",
        "p.toml:15:6: policy id \"a\" stands twice",
        "p.toml:16:14: policy \"a\": `first_scan` must be a list of tables, not a whole number",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\nis not\n{expected}");
    }
}

#[test]
fn calendars_and_business_days_say_that_they_are_not_built_yet() {
    let text = with(
        "[calendars.us]\ntimezone = \"America/New_York\"\n[[policy]]\nid = \"a\"\nmatch = { carrier = [\"ups\"] }\nclock = \"us\"\nno_movement = [{ after = \"2bd\", severity = \"notice\" }]",
    );
    let found = problems(&text);
    assert_eq!(found.len(), 3, "{found:#?}");
    for (problem, line) in found.iter().zip([2, 7, 8]) {
        assert!(problem.starts_with(&format!("p.toml:{line}:")), "{problem}");
        assert!(problem.contains("not built yet"), "{problem}");
    }
}

#[test]
fn a_match_without_conditions_is_refused() {
    let found = problems(&with("[[policy]]\nid = \"a\"\nmatch = {}"));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].starts_with("p.toml:4:9: policy \"a\": `match` has no condition"),
        "{found:?}"
    );
}

#[test]
fn settings_out_of_range_stand_where_they_are_set() {
    let found = problems(&with(
        "[defaults]\nforget_after = \"0s\"\n[carriers.DHL]\nfeed_grace = \"4000d\"",
    ));
    assert!(found[0].starts_with("p.toml:3:16: `defaults.forget_after` must lie"), "{found:?}");
    assert!(found.iter().any(|line| line.starts_with("p.toml:5:14: ")), "{found:?}");
}
