//! The rules, without a broker.

use chrono::Utc;
use shared::{
    message::{envelope::Envelope, receive::receive},
    stores::object_store::access::StoreAccess,
};

use super::*;

const FILE: &str = r#"
    workers = ["aura-2"]
    [publishers.berlin]
    entities = ["DE*", "AT01"]
    periods = ["2026-*"]
    sources = ["sap-{de,at}"]
    roots = ["/in/de", "s3://books/in/de"]
    [publishers.boss]
    force = true
    replace = true
"#;

fn roots() -> InputRoots {
    let key = |text: &str| Some(text.to_owned().into());
    let (s3_access_key_id, s3_secret_access_key) = (key("id"), key("key"));
    let access = StoreAccess { s3_access_key_id, s3_secret_access_key, ..StoreAccess::default() };
    InputRoots::new(&["/in".to_owned(), "s3://books/in".to_owned()], Path::new("/srv"), &access).unwrap()
}

fn publishers(text: &str) -> Result<Publishers, String> {
    let rules = Rules::parse(text, Some("aura"), Path::new("/srv"), &roots())?;
    Ok(Publishers { own_user: Some("aura".to_owned()), rules: Some(rules) })
}

fn job(entity: &str, period: &str, more: &str) -> Job {
    let body = format!(r#"{{"file": "a.csv", "entity": "{entity}", "period": "{period}"{more}}}"#);
    receive(body.as_bytes(), &Envelope::default(), Utc::now()).unwrap()
}

#[test]
fn each_publisher_has_what_its_table_says_and_no_more() {
    let publishers = publishers(FILE).unwrap();
    let denied = |user: Option<&str>, job: &Job, mode: Mode| {
        let mut authority = publishers.authority([user, user]);
        authority.may_load(job).and_then(|()| authority.may_use(mode)).err().map(|failure| failure.message)
    };
    let sap = r#", "source": "sap-de""#;
    assert_eq!(denied(Some("berlin"), &job("DE01", "2026-01", sap), Mode::Upsert), None);
    for (job, mode, reason) in [
        (job("FR01", "2026-01", sap), Mode::Upsert, "entity"),
        (job("XDE01", "2026-01", sap), Mode::Upsert, "entity"),
        (job("AT011", "2026-01", sap), Mode::Upsert, "entity"),
        (job("DE01", "2025-12", sap), Mode::Upsert, "period"),
        (job("DE01", "2026-01", r#", "source": "sap-fr""#), Mode::Upsert, "profile"),
        (job("DE01", "2026-01", ""), Mode::Upsert, "profile"),
        (job("DE01", "2026-01", r#", "source": "sap-de", "force": true, "reason": "x""#), Mode::Upsert, "force"),
        (job("DE01", "2026-01", sap), Mode::Replace, "replace"),
    ] {
        let message = denied(Some("berlin"), &job, mode).unwrap_or_else(|| panic!("{reason} is allowed"));
        assert!(message.contains(reason) && message.contains("berlin"), "{message}");
    }
    let forced = job("FR01", "2020-01", r#", "force": true, "reason": "x""#);
    assert_eq!(denied(Some("boss"), &forced, Mode::Replace), None);
    for user in [None, Some("stranger"), Some("aura"), Some("")] {
        assert!(denied(user, &job("DE01", "2026-01", sap), Mode::Upsert).is_some(), "{user:?}");
    }
}

#[test]
fn one_of_two_who_asked_for_a_job_must_have_all_the_rights_that_it_needs() {
    let publishers = publishers(&format!("{FILE}\n[publishers.late]\nforce = true\nentities = [\"FR*\"]")).unwrap();
    let sap = r#", "source": "sap-de", "force": true, "reason": "x""#;
    let job = job("DE01", "2026-01", sap);
    let may = |first, last| publishers.authority([Some(first), Some(last)]).may_load(&job).is_ok();
    assert!(may("boss", "berlin") && may("berlin", "boss"));
    assert!(!may("berlin", "late"), "one may this entity, the other may force");
}

#[test]
fn files_come_from_where_the_publisher_may_have_them_from() {
    let publishers = publishers(FILE).unwrap();
    let located = |user: &str, file: &str| {
        let location = roots().locate(file, Path::new("/srv")).unwrap();
        publishers.authority([Some(user), None]).locate(location)
    };
    let Location::File { root, within, .. } = located("berlin", "/in/de/a.csv").unwrap() else { panic!("a file") };
    assert_eq!((root.as_path(), within.as_path()), (Path::new("/in"), Path::new("/in/de")));
    assert!(located("berlin", "s3://books/in/de/a.csv").is_ok());
    for file in ["/in/a.csv", "/in/fr/a.csv", "/in/dex/a.csv", "/in/de/../fr/a.csv", "s3://books/in/fr/a.csv"] {
        assert_eq!(located("berlin", file).unwrap_err().code, ErrorCode::NotAuthorized, "{file}");
        assert!(located("boss", file).is_ok(), "{file}");
    }
}

#[test]
fn the_example_that_the_guide_names_is_one() {
    let example = include_str!("../../../../deploy/publishers.example.toml").replace("/exports/berlin", "/in/berlin");
    let publishers = publishers(&example).unwrap();
    let job = job("DE01", "2026-01", "");
    assert!(publishers.authority([Some("erp-berlin"); 2]).may_load(&job).is_ok());
    assert!(publishers.authority([Some("controlling"); 2]).may_use(Mode::Replace).is_ok());
}

#[test]
fn without_a_file_everyone_may_have_everything_loaded() {
    let publishers = Publishers { own_user: None, rules: None };
    let mut authority = publishers.authority([None, None]);
    let forced = job("A", "2026-01", r#", "force": true, "reason": "x""#);
    assert!(authority.may_load(&forced).is_ok() && authority.may_use(Mode::Replace).is_ok());
    assert!(!publishers.are_restricted());
}

#[test]
fn what_cannot_be_meant_is_refused_at_the_start() {
    for (text, reason) in [
        ("[publishers.aura]", "a RabbitMQ user of their own"),
        ("workers = ['x']\n[publishers.x]", "a RabbitMQ user of their own"),
        ("[publishers.x]\nentity = ['A']", "unknown field"),
        ("[publishers.x]\nentities = ['[']", "publishers.x.entities"),
        ("[publishers.x]\nroots = ['/other']", "outside AURA_INPUT_ROOTS"),
        ("[publishers.x]\nroots = ['ftp://in']", "is not a path"),
        ("[without_user_id]\nperiods = ['{']\n[publishers]", "without_user_id.periods"),
        ("workers = []", "publishers"),
    ] {
        let fault = publishers(text).unwrap_err();
        assert!(fault.contains(reason), "{text}: {fault}");
    }
    assert!(publishers("[publishers]").unwrap().authority([None; 2]).may_load(&job("A", "2026-01", "")).is_err());
}
