//! What is refused, and what is never shown.

use super::*;

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn flags_win_over_environment_over_file() {
    let file = || {
        Some((PathBuf::from("aura.toml"), "concurrency = 2\nnamespace = \"f\"\ninput_roots = [\"a\", \"b\"]".into()))
    };
    let environment = pairs(&[("AURA_CONCURRENCY", "3"), ("AURA_HTTP_ADDR", "0.0.0.0:0")]);
    let settings = Settings::merge(file(), environment, pairs(&[("concurrency", "4")])).unwrap();
    assert_eq!((settings.concurrency, settings.namespace.as_str()), (4, "f"));
    assert_eq!(settings.input_roots, ["a", "b"]);
    let settings = Settings::merge(file(), pairs(&[("AURA_CONCURRENCY", "3")]), vec![]).unwrap();
    assert_eq!(settings.concurrency, 3);
}

#[test]
fn an_unknown_key_is_refused_wherever_it_stands() {
    let error = Settings::merge(None, pairs(&[("AURA_CONCURENCY", "3")]), vec![]).unwrap_err();
    assert_eq!(error.to_string(), "AURA_CONCURENCY is not a setting; the nearest is concurrency");
    let file = Some((PathBuf::from("aura.toml"), "cache = 1".into()));
    let error = Settings::merge(file, vec![], vec![]).unwrap_err();
    assert_eq!(error.to_string(), "cache in aura.toml is not a setting; the nearest is cache_url");
    let kubernetes = [("AURA_WEB_SERVICE_HOST", "x"), ("AURA_WEB_PORT_80_TCP", "x"), ("AURA_WEB_PORT", "tcp://x")];
    assert!(Settings::merge(None, pairs(&kubernetes), vec![]).is_ok());
    let error = Settings::merge(None, pairs(&[("AURA_HTTP_PORT", "9000")]), vec![]).unwrap_err();
    assert!(matches!(error, SettingsError::Unknown { .. }));
}

#[test]
fn a_password_is_never_shown() {
    let environment =
        pairs(&[("AURA_AMQP_URL", "amqp://u:hidden@h:1/v"), ("AURA_POSTGRES_URL", "mysql://u:hidden@h/d")]);
    let error = Settings::merge(None, environment, vec![]).unwrap_err();
    assert_eq!(error.to_string(), "AURA_POSTGRES_URL must start with postgres:// or postgresql://");
    let settings =
        Settings::merge(None, pairs(&[("AURA_AMQP_URL", "amqp://u:hidden@h:1/v?x=hidden")]), vec![]).unwrap();
    assert!(!format!("{settings:?} {}", settings.amqp_url).contains("hidden"));
    assert_eq!(settings.amqp_url.to_string(), "amqp://h:1/v");
}

#[test]
fn a_url_that_would_show_a_part_of_its_password_is_refused() {
    for text in ["amqp://u:12/hidden@h:1/v", "amqp://u:p@1/hidden@h/v", "amqp://u:1#hidden@h", "amqp://u:1?hidden@h"] {
        let error = Settings::merge(None, pairs(&[("AURA_AMQP_URL", text)]), vec![]).unwrap_err().to_string();
        assert!(error.contains("write / as %2F") && !error.contains("hidden"), "{error}");
    }
    for text in ["amqp:u:hidden@h", "amqp://u:hid/den@h/v", "hidden", "amqp://u:hidden@h:x/v"] {
        let error = Settings::merge(None, pairs(&[("AURA_AMQP_URL", text)]), vec![]).unwrap_err().to_string();
        assert!(!error.contains("hid"), "{error}");
    }
    let fine = pairs(&[("AURA_AMQP_URL", "amqp://u:a%2Fb%40c@h:1/%2f?heartbeat=5")]);
    assert!(Settings::merge(None, fine, vec![]).is_ok());
}

#[test]
fn a_mistake_in_the_file_is_told_by_its_line_and_without_its_text() {
    for text in ["namespace = 'a'\namqp_url = \"amqp://u:hidden@h\n", "\namqp_url = amqp://u:hidden@h/\n"] {
        let error = Settings::merge(Some((PathBuf::from("aura.toml"), text.to_owned())), vec![], vec![]);
        let error = error.unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(told.contains("line 2: ") && !told.contains("hidden"), "{told}");
    }
}

#[test]
fn what_opens_an_object_store_is_never_shown() {
    let environment = pairs(&[
        ("AURA_S3_ENDPOINT", "http://127.0.0.1:9000/"),
        ("AURA_S3_SECRET_ACCESS_KEY", "hidden"),
        ("AURA_S3_SESSION_TOKEN", "hidden"),
        ("AURA_AZURE_KEY", "hidden"),
        ("AWS_SECRET_ACCESS_KEY", "hidden"),
    ]);
    let settings = Settings::merge(None, environment, vec![]).unwrap();
    assert!(settings.stores.s3_secret_access_key.is_some() && settings.stores.s3_region.is_none());
    let shown = format!("{settings:?}");
    assert!(!shown.contains("hidden") && !shown.contains("9000"), "{shown}");
    for text in ["127.0.0.1:9000", "ftp://host", "http://user:hidden@host", "http://host/?hidden"] {
        let error = Settings::merge(None, pairs(&[("AURA_S3_ENDPOINT", text)]), vec![]).unwrap_err().to_string();
        assert!(error.starts_with("AURA_S3_ENDPOINT is not an address") && !error.contains("hidden"), "{error}");
    }
}

#[test]
fn a_url_without_its_database_is_refused() {
    for (name, text) in [
        ("AURA_POSTGRES_URL", "postgres://u:hidden@h:5432"),
        ("AURA_POSTGRES_URL", "postgres://u:hidden@h:5432/?sslmode=require"),
        ("AURA_MONGODB_URL", "mongodb://u:hidden@h:27017"),
        ("AURA_MONGODB_URL", "mongodb://u:hidden@h:27017/?replicaSet=rs0"),
    ] {
        let error = Settings::merge(None, pairs(&[(name, text)]), vec![]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{name} lacks the database; it should look like ")), "{error}");
        assert!(error.ends_with("://HOST:PORT/aura") && !error.contains("hidden"), "{error}");
    }
    let named = pairs(&[("AURA_POSTGRES_URL", "postgres:///?host=/run/postgresql&dbname=books")]);
    assert!(Settings::merge(None, named, vec![]).is_ok());
}

#[test]
fn a_url_may_name_several_servers_where_the_client_finds_the_right_one() {
    let text = "mongodb://u:hid%2Fden@h1:1,h2:2,[::1]:3/aura?replicaSet=rs0";
    let settings = Settings::merge(None, pairs(&[("AURA_MONGODB_URL", text)]), vec![]).unwrap();
    let url = &settings.mongodb_url;
    assert_eq!(url.expose(), text);
    assert_eq!(format!("{url} {url:?}"), "mongodb://h1:1,h2:2,[::1]:3/aura mongodb://h1:1,h2:2,[::1]:3/aura");
    assert_eq!((url.path(), url.query("replicaSet").as_deref()), ("aura", Some("rs0")));
    for (name, text) in [
        ("AURA_MONGODB_URL", "mongodb://u:hidden@h1:1,h2:x/aura"),
        ("AURA_MONGODB_URL", "mongodb://u:hidden@h1,,h2/aura"),
        ("AURA_MONGODB_URL", "mongodb://u:hidden@h1,h2/?replicaSet=rs0"),
        ("AURA_POSTGRES_URL", "postgres://u:hidden@h1,:5432/aura"),
        ("AURA_AMQP_URL", "amqp://u:hidden@h1:5672,h2:5672/%2f"),
    ] {
        let error = Settings::merge(None, pairs(&[(name, text)]), vec![]).unwrap_err().to_string();
        assert!(error.starts_with(name) && !error.contains("hidden"), "{error}");
    }
}

#[test]
fn a_value_out_of_range_names_its_origin() {
    let error = Settings::merge(None, pairs(&[("AURA_CONCURRENCY", "0")]), vec![]).unwrap_err();
    assert_eq!(error.to_string(), "AURA_CONCURRENCY is not a whole number from 1 to 256");
}

#[test]
fn events_of_openlineage_go_where_its_own_clients_variables_say_unless_a_setting_says_otherwise() {
    let lineage = |given: &[(&str, &str)]| Settings::merge(None, pairs(given), vec![]).map(|settings| settings.lineage);
    let told = |given: &[(&str, &str)]| {
        let lineage = lineage(given).unwrap();
        let text = |secret: Option<Secret>| secret.map(|secret| secret.expose().to_owned());
        (text(lineage.url), text(lineage.api_key))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(told(&[]), (None, None));
    let standard = [("OPENLINEAGE_URL", "https://c:1/"), ("OPENLINEAGE_API_KEY", "k")];
    assert_eq!(told(&standard), (some("https://c:1/api/v1/lineage"), some("k")));
    let with = |more: &[(&'static str, &'static str)]| [&standard[..], more].concat();
    assert_eq!(told(&with(&[("OPENLINEAGE_ENDPOINT", "/in")])).0, some("https://c:1/in"));
    assert_eq!(told(&with(&[("OPENLINEAGE_DISABLED", "True")])), (None, None));
    // A key goes to the receiver that it was given for.
    assert_eq!(told(&with(&[("AURA_OPENLINEAGE_URL", "http://own/x")])), (some("http://own/x"), None));
    assert_eq!(told(&with(&[("AURA_OPENLINEAGE_API_KEY", "own")])).1, some("own"));
    let error = lineage(&[("OPENLINEAGE_URL", "https://user:hidden@c")]).unwrap_err().to_string();
    assert!(error.starts_with("OPENLINEAGE_URL is not an address") && !error.contains("hidden"), "{error}");
    let shown = format!("{:?}", lineage(&with(&[("AURA_OPENLINEAGE_API_KEY", "hidden")])).unwrap());
    assert!(!shown.contains("hidden"), "{shown}");
}

#[test]
fn the_example_of_settings_loads_as_it_is_and_with_every_line_in_force() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/aura.example.toml");
    let example = std::fs::read_to_string(path).unwrap();
    let load = |text: &str| Settings::merge(Some((PathBuf::from("aura.toml"), text.to_owned())), vec![], vec![]);
    let settings = load(&example).unwrap();
    assert_eq!(settings.input_roots, ["/var/spool/aura"]);
    assert_eq!(settings.log_dir.as_deref(), Some(Path::new("/var/log/aura")));
    assert_eq!(Settings::merge(None, pairs(&[("AURA_LOG_DIR", "-")]), vec![]).unwrap().log_dir, None);
    assert_eq!(settings.sources_dir, Path::new("/usr/share/aura/sources"));
    // A line that is commented out is a setting and its default.
    let mut in_force = String::new();
    for line in example.lines() {
        let Some((key, value)) = line.strip_prefix("# ").and_then(|line| line.split_once(" = ")) else {
            in_force.push_str(line);
            in_force.push('\n');
            continue;
        };
        let definition = DEFINITIONS.iter().find(|setting| setting.key == key);
        let default = definition.unwrap_or_else(|| panic!("{key} is not a setting")).default;
        assert_eq!(value.trim_matches('"'), default, "{key}");
        in_force.push_str(&line[2..]);
        in_force.push('\n');
    }
    load(&in_force).unwrap();
}
