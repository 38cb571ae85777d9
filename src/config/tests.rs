use super::*;

const LEAST: &str = r#"
[kafka]
bootstrap_servers = "localhost:9092"
group_id = "stallwatch"
[policies]
file = "policies.toml"
"#;

fn nothing() -> Environment {
    Environment::of::<&str, &str>([])
}

fn load(text: &str, environment: &Environment) -> Result<Config, Vec<String>> {
    let shown = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect();
    Config::parse("c.toml", text, Path::new("/etc/stallwatch"), environment).map_err(shown)
}

fn problems(text: &str) -> Vec<String> {
    load(text, &nothing()).expect_err("the file has problems")
}

/// The least good file with more at its end.
fn with(more: &str) -> String {
    format!("{LEAST}{more}\n")
}

/// The one problem of the least file with more at its end.
#[track_caller]
fn refused(more: &str, because: &str) {
    let found = problems(&with(more));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains(because), "{found:#?}");
}

#[test]
fn what_is_not_set_has_the_documented_defaults() {
    let config = load(LEAST, &nothing()).unwrap();
    assert_eq!(config.kafka.bootstrap_servers, "localhost:9092");
    assert!(!config.kafka.instance_id.is_empty());
    assert_eq!(config.kafka.session_timeout, Duration::from_secs(45));
    assert_eq!(config.kafka.transaction_timeout, Duration::from_secs(30));
    assert_eq!(config.kafka.patience, Duration::from_secs(300));
    assert_eq!(config.kafka.security.protocol, Protocol::Plaintext);
    assert_eq!(config.input.topics, ["carrier.scans.v1"]);
    assert_eq!(config.input.format, Format::Avro);
    assert_eq!(config.input.start_from, StartFrom::Committed);
    assert_eq!(config.input.backfill, Backfill::Silent);
    assert_eq!(config.input.on_reject, OnReject::DeadLetter);
    assert_eq!(config.input.max_future_skew, Duration::from_secs(300));
    assert_eq!(config.input.no_time, NoTime::default());
    assert_eq!(config.input.clock_margin, None);
    assert_eq!(config.input.schemas.id, None);
    assert_eq!(config.output.exceptions, "tracking.exceptions.v1");
    assert_eq!(config.output.open, "tracking.exceptions.open.v1");
    assert_eq!(config.output.dead_letter, "tracking.scans.dlq.v1");
    assert_eq!(config.output.commit_interval, Duration::from_millis(500));
    assert!(config.engine.workers >= 1);
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9464");
    assert_eq!(config.admin.probe_listen.to_string(), "0.0.0.0:9465");
    assert_eq!(config.log.tracking_numbers, TrackingNumbers::Last4);
    assert_eq!(config.shutdown.deadline, Duration::from_secs(30));
}

#[test]
fn file_names_count_from_the_folder_of_the_configuration() {
    let config = load(LEAST, &nothing()).unwrap();
    assert_eq!(config.policies.file, Path::new("/etc/stallwatch/policies.toml"));
}

#[test]
fn an_empty_file_lacks_what_has_no_default() {
    let found = problems("");
    assert_eq!(
        found,
        [
            "c.toml:1:1: `kafka.bootstrap_servers` is missing",
            "c.toml:1:1: `kafka.group_id` is missing",
            "c.toml:1:1: `policies.file` is missing",
        ]
    );
}

#[test]
fn every_problem_is_found_at_once_with_its_place() {
    let text = r#"
[kafka]
bootstrap_server = "localhost:9092"
group_id = 7
session_timeout = "1m"
transaction_timeout = "60s"
[input]
format = "jsno"
topics = ["a topic"]
[policies]
file = "policies.toml"
[colour]
[shutdown]
deadline = 30
"#;
    let found = problems(text);
    let expected = [
        "c.toml:2:1: `kafka.bootstrap_servers` is missing",
        "c.toml:3:1: unknown key `kafka.bootstrap_server`; did you mean `bootstrap_servers`?",
        "c.toml:4:12: `kafka.group_id` must be text, not a whole number",
        "c.toml:6:23: `kafka.transaction_timeout` must be shorter than `kafka.session_timeout`",
        "c.toml:8:10: `input.format` has the unknown value \"jsno\"; did you mean \"json\"?",
        "c.toml:9:11: `input.topics`: \"a topic\" is no name of a topic",
        "c.toml:12:2: unknown key `colour`",
        "c.toml:14:12: `shutdown.deadline` must be a duration with a unit",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\nis not\n{expected}");
    }
}

#[test]
fn texts_name_variables_with_or_without_a_default() {
    let text = with("[log]\nlevel = \"${LEVEL:-warn}\"\n[output]\nopen = \"${PREFIX}.open\"");
    let config = load(&text, &Environment::of([("PREFIX", "eu")])).unwrap();
    assert_eq!(config.log.level, "warn");
    assert_eq!(config.output.open, "eu.open");
    let config = load(&text, &Environment::of([("PREFIX", "eu"), ("LEVEL", "debug")])).unwrap();
    assert_eq!(config.log.level, "debug");
}

#[test]
fn a_variable_that_is_not_set_is_a_problem_where_it_is_named() {
    let found = problems(&with("[output]\nopen = \"${PREFIX}.open\""));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("c.toml:8:8: the environment variable PREFIX is not set"));
}

#[test]
fn variables_that_are_not_written_as_such_are_a_problem() {
    refused("[output]\nopen = \"${PREFIX\"", "`${` without `}`");
    refused("[output]\nopen = \"${MY PREFIX}\"", "is no variable");
}

#[test]
fn numbers_lists_and_switches_may_come_from_the_environment() {
    let text = with("[engine]\nworkers = \"${WORKERS}\"\n[input]\ntopics = \"${TOPICS}\"");
    let environment = Environment::of([("WORKERS", "3"), ("TOPICS", "scans")]);
    let config = load(&text, &environment).unwrap();
    assert_eq!(config.engine.workers, 3);
    assert_eq!(config.input.topics, ["scans"]);
    let found = load(&text, &Environment::of([("WORKERS", "three"), ("TOPICS", "scans")]));
    assert!(found.unwrap_err()[0].contains("must be a whole number, not \"three\""));
}

#[test]
fn overrides_win_over_the_file_and_reach_sections_that_it_lacks() {
    let environment = Environment::of([
        ("STALLWATCH__KAFKA__GROUP_ID", "other"),
        ("STALLWATCH__INPUT__TOPICS", "scans"),
        ("STALLWATCH__KAFKA__SECURITY__PROTOCOL", "ssl"),
        ("STALLWATCH__KAFKA__PROPERTIES__FETCH_MIN_BYTES", "10"),
        ("STALLWATCH__INPUT__SCHEMA_ID", "17"),
        ("STALLWATCH_KAFKA", "something else's"),
    ]);
    let config = load(LEAST, &environment).unwrap();
    assert_eq!(config.kafka.group_id, "other");
    assert_eq!(config.input.topics, ["scans"]);
    assert_eq!(config.kafka.security.protocol, Protocol::Ssl);
    assert_eq!(config.kafka.properties["fetch.min.bytes"], "10");
    assert_eq!(config.input.schemas.id, Some(17));
}

#[test]
fn overrides_of_nothing_known_are_problems_that_name_the_variable() {
    let environment = Environment::of([
        ("STALLWATCH__KAFKA__GRUOP_ID", "x"),
        ("STALLWATCH__KAFAK__RACK", "x"),
        ("STALLWATCH__KAFKA", "x"),
    ]);
    let found = load(LEAST, &environment).unwrap_err();
    let named = |start: &str| found.iter().any(|line| line.starts_with(start));
    assert!(
        named(
            "environment variable STALLWATCH__KAFKA__GRUOP_ID: unknown key `kafka.gruop_id`; did you mean `group_id`?"
        ),
        "{found:#?}"
    );
    assert!(
        named(
            "environment variable STALLWATCH__KAFAK__RACK: unknown key `kafak`; did you mean `kafka`?"
        ),
        "{found:#?}"
    );
}

#[test]
fn an_environment_that_is_not_looked_at_leaves_what_depends_on_it_unchecked() {
    let text = r#"
[kafka]
bootstrap_servers = "${BROKERS}"
group_id = "${GROUP}"
session_timeout = "${TIMEOUT}"
rack = "${RACK:-a}"
[kafka.security]
protocol = "sasl_ssl"
mechanism = "SCRAM-SHA-512"
username = "${KAFKA_USER}"
password_file = "/run/secrets/that/are/not/here"
ca_file = "/etc/ssl/that/is/not/here.pem"
[input]
topics = ["${TOPIC}"]
[policies]
file = "${POLICIES}"
"#;
    assert!(load(text, &Environment::ignored()).is_ok());
    let found = load(text, &nothing()).unwrap_err();
    assert_eq!(found.len(), 8, "{found:#?}");
}

#[test]
fn an_environment_that_is_not_looked_at_hides_no_other_problem() {
    let text = with("[log]\nformat = \"${FORMAT:-xml}\"\nlevle = \"${LEVEL}\"");
    let found = load(&text, &Environment::ignored()).unwrap_err();
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[test]
fn properties_may_be_written_with_quotes_or_without() {
    let text = with(
        "[kafka.properties]\n\"fetch.min.bytes\" = 1\nsocket.keepalive.enable = true\nqueued.min.messages = \"5\"",
    );
    let properties = load(&text, &nothing()).unwrap().kafka.properties;
    let shown: Vec<_> = properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        shown,
        ["fetch.min.bytes=1", "queued.min.messages=5", "socket.keepalive.enable=true"]
    );
}

#[test]
fn properties_that_the_service_owns_are_refused_with_what_governs_them() {
    for (owned, governed_by) in kafka::OWNED {
        let found = problems(&with(&format!("[kafka.properties]\n\"{owned}\" = \"x\"")));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with("c.toml:8:1: "), "{found:#?}");
        assert!(found[0].contains(governed_by), "{found:#?}");
    }
    refused("[kafka.properties]\nenable.auto.commit = true", "exactly once");
    refused("[kafka.properties]\n\"session.timeout.ms\" = 1", "kafka.session_timeout governs it");
}

#[test]
fn passwords_come_from_files_or_the_environment_only() {
    let sasl = |password: &str| {
        with(&format!(
            "[kafka.security]\nprotocol = \"sasl_plaintext\"\nmechanism = \"PLAIN\"\nusername = \"me\"\n{password}"
        ))
    };
    let found = problems(&sasl("password = \"hunter2\""));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("must not stand in the file; use `password_file`"), "{found:#?}");
    assert!(!found[0].contains("hunter2"));
    assert!(problems(&sasl("password = \"${P:-hunter2}\""))[0].contains("must not stand"));

    let environment = Environment::of([("P", "hunter2")]);
    let config = load(&sasl("password = \"${P}\""), &environment).unwrap();
    assert_eq!(config.kafka.security.sasl.as_ref().unwrap().password.reveal(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hunter3\n").unwrap();
    let text = sasl(&format!("password_file = {:?}", file.path()));
    let sasl_read = load(&text, &nothing()).unwrap().kafka.security.sasl.unwrap();
    assert_eq!(sasl_read.password.reveal(), "hunter3");

    assert!(problems(&sasl("password_file = \"nowhere\""))[0].contains("cannot be read"));
    assert!(problems(&sasl(""))[0].contains("`kafka.security.password_file` is missing"));
}

#[test]
fn security_settings_that_would_have_no_effect_are_refused() {
    refused("[kafka.security]\nusername = \"me\"", "has no meaning unless protocol is sasl");
    refused("[kafka.security]\nprotocol = \"ssl\"\nmechanism = \"PLAIN\"", "has no meaning");
    let found = problems(&with("[kafka.security]\nca_file = \"nowhere.pem\""));
    assert!(found.iter().any(|line| line.contains("has no meaning unless protocol is ssl")));
    refused(
        "[kafka.security]\nprotocol = \"ssl\"\ncertificate_file = \"/dev/null\"",
        "`kafka.security.key_file` is missing",
    );
    refused("[kafka.security]\nprotocol = \"SSL\"", "did you mean \"ssl\"");
}

#[test]
fn what_is_not_built_yet_is_never_ignored() {
    for more in ["[input]\nmapping = \"m.toml\"", "[input]\ntopics = [\"a\", \"b\"]"] {
        refused(more, "not built yet");
    }
}

#[test]
fn a_schema_registry_is_asked_at_its_address_by_whom_that_says() {
    let registry = |text: &str| load(&with(text), &nothing()).unwrap().schema_registry;
    assert!(registry("").is_none());
    let plain = registry("[schema_registry]\nurl = \"http://localhost:8081/\"").unwrap();
    assert!(plain.trust.is_none() && plain.ca_file.is_none());
    assert_eq!(plain.url, "http://localhost:8081");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "hush\n").unwrap();
    let with_auth = |auth: &str| {
        format!("[schema_registry]\nurl = \"https://registry/at\"\nauth = {{ {auth} }}")
    };
    let name = file.path().display();
    let basic = registry(&with_auth(&format!("username = \"me\", password_file = \"{name}\"")));
    match basic.unwrap().trust {
        Some(Trust::Basic { username, password }) => {
            assert_eq!((&*username, password.reveal()), ("me", "hush"));
        }
        other => panic!("{other:?}"),
    }
    match registry(&with_auth(&format!("token_file = \"{name}\""))).unwrap().trust {
        Some(Trust::Bearer(token)) => assert_eq!(token.reveal(), "hush"),
        other => panic!("{other:?}"),
    }
    refused(&with_auth("username = \"me\""), "`username` and `password_file` go together");
    refused(&with_auth("token = \"hush\""), "must not stand in the file");
    for url in ["localhost:8081", "http://me:hush@localhost", "ftp://host", "http://", "http://a b"]
    {
        refused(&format!("[schema_registry]\nurl = \"{url}\""), "is no address of a registry");
    }
    refused("[schema_registry]\nauth = { token_file = \"/dev/null\" }", "without `url`");
}

#[test]
fn a_policies_file_is_watched_where_that_is_said() {
    assert!(!load(LEAST, &nothing()).unwrap().policies.watch);
    let watch = LEAST.replace("[policies]", "[policies]\nwatch = true");
    assert!(load(&watch, &nothing()).unwrap().policies.watch);
    let neither = LEAST.replace("[policies]", "[policies]\nwatch = \"often\"");
    assert!(problems(&neither)[0].contains("watch"));
}

#[test]
fn snapshots_go_to_a_folder_or_a_bucket() {
    let state = |text: &str| load(&with(text), &nothing()).unwrap().state;
    let url = |url: &str| state(&format!("[state]\nurl = {url:?}")).url.unwrap();
    assert_eq!(url("file:///var/lib"), SnapshotUrl::Folder("/var/lib".into()));
    let bucket = |prefix: &str| SnapshotUrl::Bucket {
        bucket: "parcels.eu".to_owned(),
        prefix: prefix.to_owned(),
    };
    assert_eq!(url("s3://parcels.eu"), bucket(""));
    assert_eq!(url("s3://parcels.eu/a/b/"), bucket("a/b"));
    assert_eq!(url("s3://parcels.eu/a/b/").to_string(), "s3://parcels.eu/a/b");
    let five = Duration::from_secs(300);
    assert_eq!(state(""), State { url: None, snapshot_interval: five, keep: 3, trust_log: false });
    refused("[state]\nurl = \"gs://parcels\"", "`state.url` has the scheme \"gs\", which is not");
    refused("[state]\nurl = \"/var/lib\"", "which is no URL");
    refused("[state]\nurl = \"file://var/lib\"", "the folder must be given whole");
    refused("[state]\nurl = \"s3://Parcels\"", "the bucket must be");
    refused("[state]\nkeep = 0", "`state.keep` is 0, but must lie between 1 and 1000");
    refused("[state]\nsnapshot_interval = \"0s\"", "must lie between 1s and");
    let problems = problems(&with("[state]\nkeep = 2\nurl = \"gs://parcels\""));
    assert!(problems[0].contains("c.toml:9:7"), "a line and a column: {problems:?}");
}

#[test]
fn packages_have_a_limit_only_where_one_is_set() {
    let limit = |text: &str| load(text, &nothing()).unwrap().engine.max_packages;
    assert_eq!(limit(LEAST), None);
    assert_eq!(limit(&with("[engine]\nmax_packages = 0")), None);
    assert_eq!(limit(&with("[engine]\nmax_packages = 25_000_000")), Some(25_000_000));
    refused("[engine]\nmax_packages = -1", "`engine.max_packages` is -1, but must lie between 0");
    refused("[engine]\nmax_packages = \"10m\"", "`engine.max_packages` must be a whole number");
}

#[test]
fn a_service_does_not_read_what_it_writes() {
    refused("[output]\nexceptions = \"carrier.scans.v1\"", "must be different topics");
    refused("[output]\nopen = \"tracking.exceptions.v1\"", "must be different topics");
}

#[test]
fn a_start_may_be_a_point_in_time() {
    let start = |value: &str| {
        load(&with(&format!("[input]\nstart_from = {value}")), &nothing())
            .map(|config| config.input.start_from)
    };
    let at = StartFrom::At(LogTime::from_secs(1_772_438_400));
    assert_eq!(start("\"2026-03-02T08:00:00Z\"").unwrap(), at);
    assert_eq!(start("2026-03-02T08:00:00Z").unwrap(), at);
    assert_eq!(start("\"latest\"").unwrap(), StartFrom::Latest);
    assert!(start("\"earlyest\"").unwrap_err()[0].contains("did you mean \"earliest\""));
    assert!(start("\"1999-01-01T00:00:00Z\"").unwrap_err()[0].contains("2000 to 2099"));
    assert!(start("2026-03-02T08:00:00").unwrap_err()[0].contains("offset"));
}

#[test]
fn addresses_brokers_and_levels_are_checked() {
    refused("[admin]\nprobe_listen = \"9465\"", "is no address with a port");
    refused("[admin]\nprobe_listen = \"127.0.0.1:9464\"", "must not equal");
    refused("[log]\nlevel = \"inof\"", "did you mean \"info\"");
    assert!(load(&with("[log]\nlevel = \"info,stallwatch::service=debug\""), &nothing()).is_ok());
    for brokers in ["localhost", "", "a b:9092", "http://localhost:9092", "localhost:0"] {
        let text = LEAST.replace("localhost:9092", brokers);
        assert!(problems(&text)[0].contains("is no broker"), "{brokers}");
    }
    let listed = LEAST.replace("\"localhost:9092\"", "[\"a:1\", \"[::1]:2\"]");
    assert_eq!(load(&listed, &nothing()).unwrap().kafka.bootstrap_servers, "a:1,[::1]:2");
}

#[test]
fn a_schema_id_belongs_to_avro() {
    assert!(load(&with("[input]\nschema_id = 17"), &nothing()).is_ok());
    refused("[input]\nschema_id = 17\nformat = \"json\"", "has no meaning with format");
    refused("[input]\nschema_id = -1", "must lie between");
}

#[test]
fn the_example_is_good_and_its_comments_tell_the_defaults() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/stallwatch.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let config = load(&text, &nothing()).unwrap();
    let shown: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if setting.contains(" = ") && is_default(setting) => setting,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut spelled_out = load(&shown, &nothing()).unwrap();
    spelled_out.input.clock_margin = None;
    assert_eq!(format!("{config:?}"), format!("{spelled_out:?}"));
}

/// Whether a commented line shows a default; the others show what one may set.
fn is_default(setting: &str) -> bool {
    const EXAMPLES: [&str; 20] = [
        "token_file",
        "tls_cert_file",
        "tls_key_file",
        "client_ca_file",
        "advertised",
        "instance_id",
        "rack",
        "mechanism",
        "username",
        "password_file",
        "ca_file",
        "certificate_file",
        "key_file",
        "key_password_file",
        "schema_file",
        "schema_id",
        "schema_files",
        "schemas",
        "url",
        "auth",
    ];
    let key = setting.split(" = ").next().unwrap_or_default();
    key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && !EXAMPLES.contains(&key)
}

#[test]
fn tracking_numbers_in_log_lines_are_as_the_setting_says() {
    let key = PackageKey::new("ups", "1Z999AA10123456784").unwrap();
    assert_eq!(TrackingNumbers::Last4.show(&key), "ups:…6784");
    assert_eq!(TrackingNumbers::Plain.show(&key), "ups:1Z999AA10123456784");
    let hashed = TrackingNumbers::Hash.show(&key);
    assert!(hashed.starts_with("ups:#") && !hashed.contains("6784"));
    let short = PackageKey::new("ups", "12").unwrap();
    assert_eq!(TrackingNumbers::Last4.show(&short), "ups:…12");
}

#[test]
fn the_admin_listener_is_for_the_loopback_unless_clients_must_show_who_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let admin = |more: &str| load(&with(&format!("[admin]\n{more}")), &nothing());
    let token = file("token", "0123456789abcdef\n");
    let (cert, key) = (file("cert.pem", ""), file("key.pem", ""));

    refused("[admin]\nlisten = \"0.0.0.0:9464\"", "set `admin.token_file`");
    let open = format!("listen = \"0.0.0.0:9464\"\ntoken_file = \"{token}\"");
    let config = admin(&open).unwrap();
    assert_eq!(config.admin.token.unwrap().reveal(), "0123456789abcdef");

    for text in ["short", "", "0123456789 abcdef", "0123456789abcdef\nanother"] {
        let bad = file("bad", text);
        let found = admin(&format!("token_file = \"{bad}\"")).unwrap_err();
        assert!(found[0].contains("at least 16 printable characters"), "{text:?}: {found:?}");
    }
    let found = admin("token_file = \"/nowhere/token\"").unwrap_err();
    assert!(found[0].contains("cannot be read"), "{found:?}");

    let found = admin(&format!("tls_cert_file = \"{cert}\"")).unwrap_err();
    assert!(found[0].contains("`admin.tls_key_file` is missing"), "{found:?}");
    let tls = format!("tls_cert_file = \"{cert}\"\ntls_key_file = \"{key}\"");
    assert!(admin(&tls).unwrap().admin.tls.is_some());

    let advertised = admin("advertised = \"stallwatch-0.parcels:9464\"").unwrap().admin.advertised;
    assert_eq!(advertised.unwrap().to_string(), "stallwatch-0.parcels:9464");
    for text in ["stallwatch-0", "http://stallwatch-0:9464", "a@b:9464", ":9464", "a:0"] {
        let found = admin(&format!("advertised = \"{text}\"")).unwrap_err();
        assert!(found[0].contains("no host with a port"), "{text}: {found:?}");
    }
    let named = LEAST.replace("[kafka]", "[kafka]\ninstance_id = \"a@b\"");
    assert!(problems(&named)[0].contains("must not have an `@`"));
}

#[test]
fn what_stands_for_no_time_is_a_list_of_dates_and_each_other_entry_a_problem() {
    let no_time = |value: &str| {
        load(&with(&format!("[input]\nno_time = {value}")), &nothing())
            .map(|config| config.input.no_time)
    };
    assert_eq!(no_time("[]").unwrap(), NoTime::of([]).unwrap());
    assert_eq!(no_time("[\"1899-12-30\"]").unwrap(), NoTime::of(["1899-12-30"]).unwrap());
    let problems = no_time("[\"1970-01-01\", \"1970-01-01T00:00:00Z\", \"soon\"]").unwrap_err();
    let says = "is no date; write one such as 1970-01-01";
    assert!(
        problems[0].to_string().contains("`input.no_time`: \"1970-01-01T00:00:00Z\" is no date")
    );
    assert!(problems.len() == 2 && problems[1].to_string().contains(says), "{problems:?}");
}

/// A folder with a configuration of these lines in `[input]`, and schemas beside it: two good ones,
/// one that is no schema of scans, and a file that is none.
struct WithSchemas(tempfile::TempDir);

const GOOD: &str = r#"{"type":"record","name":"S","fields":[{"name":"tracking_number","type":"string"},
    {"name":"carrier","type":"string"},{"name":"milestone","type":"string"}]}"#;

impl WithSchemas {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("more")).unwrap();
        let other = GOOD.replace("\"S\"", "\"T\"");
        for (name, text) in [
            ("a.avsc", GOOD),
            ("more/b.avsc", &other),
            ("more/notes.txt", "none"),
            ("bad.avsc", "{\"type\":\"record\",\"name\":\"U\",\"fields\":[]}"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    fn load(&self, input: &str, environment: &Environment) -> Result<Config, Vec<String>> {
        let text = with(&format!("[input]\n{input}"));
        let shown = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect();
        Config::parse("c.toml", &text, self.0.path(), environment).map_err(shown)
    }

    /// The file names of the schemas that are known, and the ids.
    fn known(&self, input: &str, environment: &Environment) -> Vec<String> {
        let config = self.load(input, environment).unwrap();
        let schemas = config.input.schemas.load().unwrap();
        let named = schemas.names().map(|(name, marks)| {
            let name = name.rsplit('/').next().unwrap();
            let ids = marks[1..].iter().map(|mark| format!(" {mark}"));
            format!("{name}{}", ids.collect::<String>())
        });
        named.collect()
    }
}

#[test]
fn writer_schemas_are_named_by_file_by_list_by_folder_and_by_id() {
    let folder = WithSchemas::new();
    let known = |input: &str| folder.known(input, &nothing());
    assert_eq!(known(""), ["scan.v1.avsc"]);
    assert_eq!(known("schema_file = \"a.avsc\"\nschema_id = 17"), ["a.avsc id 17"]);
    assert_eq!(known("schema_files = [\"a.avsc\"]"), ["scan.v1.avsc", "a.avsc"]);
    assert_eq!(known("schema_files = \"a.avsc\""), ["scan.v1.avsc", "a.avsc"]);
    assert_eq!(known("schema_files = \"more\""), ["scan.v1.avsc", "b.avsc"]);
    assert_eq!(
        known(
            "schema_file = \"a.avsc\"\nschema_id = 3\nschema_files = \"more/\"\nschemas = { 17 = \"more/b.avsc\", 18 = \"a.avsc\" }"
        ),
        ["a.avsc id 3 id 18", "b.avsc id 17"]
    );
    let listed = Environment::of([("STALLWATCH__INPUT__SCHEMA_FILES", "a.avsc, more/b.avsc")]);
    assert_eq!(folder.known("", &listed), ["scan.v1.avsc", "a.avsc", "b.avsc"]);
    let one = Environment::of([("STALLWATCH__INPUT__SCHEMA_FILES", "more")]);
    assert_eq!(folder.known("", &one), ["scan.v1.avsc", "b.avsc"]);
}

#[test]
fn a_folder_of_schemas_is_read_as_it_is_when_somebody_asks() {
    let folder = WithSchemas::new();
    let config = folder.load("schema_files = \"more\"", &nothing()).unwrap();
    let count = || config.input.schemas.load().map(|schemas| schemas.names().count());
    assert_eq!(count(), Ok(2));
    let added = GOOD.replace("\"S\"", "\"V\"");
    std::fs::write(folder.0.path().join("more/c.avsc"), added).unwrap();
    assert_eq!(count(), Ok(3));
    std::fs::write(folder.0.path().join("more/d.avsc"), "half a").unwrap();
    let problems = count().unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].name.ends_with("more/d.avsc"), "{problems:?}");
    std::fs::remove_dir_all(folder.0.path().join("more")).unwrap();
    assert!(count().unwrap_err()[0].problem.starts_with("cannot be read: "));
}

#[test]
fn every_problem_with_a_writer_schema_names_its_setting_and_its_file() {
    let folder = WithSchemas::new();
    let refused = |input: &str, says: &[&str]| {
        let found = folder.load(input, &nothing()).unwrap_err();
        assert_eq!(found.len(), says.len(), "{found:#?}");
        for (found, says) in found.iter().zip(says) {
            assert!(found.contains(says), "{found} does not say {says}");
        }
    };
    refused("schema_file = \"no.avsc\"", &["c.toml:8:15: `input.schema_file`: "]);
    let missing = ["tracking_number", "carrier", "milestone"]
        .map(|field| format!("bad.avsc: the field {field} is missing"));
    let mut missing: Vec<&str> = missing.iter().map(String::as_str).collect();
    missing.sort_unstable();
    refused("schema_files = [\"bad.avsc\"]", &missing);
    refused("schema_files = \"nowhere\"", &["nowhere: cannot be read: "]);
    refused("schema_files = 7", &["`input.schema_files` must be a list of texts"]);
    refused(
        "schemas = { 17 = \"no.avsc\", x = \"a.avsc\", 18 = 4, -1 = \"a.avsc\" }",
        &[
            "no.avsc: cannot be read",
            "x is no id of a schema",
            "input.schemas.18` must be the name",
            "-1 is no id",
        ],
    );
    refused(
        "schema_file = \"a.avsc\"\nschema_id = 17\nschemas = { 17 = \"more/b.avsc\" }\nformat = \"json\"",
        &[
            "`input.schema_file` has no meaning",
            "`input.schema_id` has no",
            "`input.schemas` has no",
        ],
    );
}
