//! The night in a browser: from the first look at a heap of dead letters to the last replay, by two people at once.

use std::path::PathBuf;

use tests::{
    browser::{Browser, ENTER, Session, TAB},
    console::{token, users},
};
use uuid::Uuid;

use crate::{
    wait::{SOON, until},
    world::{World, csv, job, with},
};

/// A picture for whoever asked for pictures.
async fn picture(page: &Session, name: &str) {
    if let Some(folder) = std::env::var_os("AURA_TEST_SCREENSHOTS") {
        page.screenshot(&PathBuf::from(folder).join(format!("{name}.png"))).await;
    }
}

/// Makes sure that a page can be used by everybody, and that the browser refused nothing of it.
async fn is_sound(page: &Session, place: &str) {
    assert_eq!(page.axe().await, Vec::<String>::new(), "{place}");
    assert_eq!(page.console_errors().await, Vec::<String>::new(), "{place}");
}

async fn signed_in(browser: &Browser, url: &str, name: &str, dark: bool) -> Session {
    let page = browser.session(1280, 900, dark).await;
    page.open(url).await;
    page.until_text("h1", "Sign in").await;
    is_sound(&page, "the form").await;
    page.fill("#token", &token(name)).await;
    page.click("form[action='/sign-in'] button").await;
    page.until_text("h1", "Now").await;
    page
}

#[tokio::test]
async fn a_heap_of_dead_letters_is_understood_tried_replayed_and_discarded_in_a_browser() {
    let Some(browser) = Browser::start().await else { return };
    let (world, _worker) = World::with_worker().await;
    let people = world.path().join("users.toml");
    users(&people, &[("olga", "operator"), ("carl", "controller")]);
    let people = people.display().to_string();
    let console = world.console(&[("AURA_CONSOLE_USERS_PATH", &people)]).await;
    for entity in ["ABEX", "BRAV", "CHAR", "DELT", "ECHO", "FOXT"] {
        let file = world.write(&format!("{entity}.csv"), csv(entity, "2022-06", &[("10", "12O4.50"), ("20", "5")]));
        world.ends("failed", job(&file, entity, "2022-06")).await;
    }
    let lost = world.write("GOLF.csv", csv("GOLF", "2022-06", &[("10", "5")]));
    std::fs::remove_file(&lost).unwrap();
    world.ends("failed", job(&lost, "GOLF", "2022-06")).await;
    world.broker.dead(7).await;

    let olga = signed_in(&browser, &console.url(), "olga", false).await;
    let carl = signed_in(&browser, &console.url(), "carl", true).await;
    for page in [&olga, &carl] {
        page.until_text("#now", "row_invalid").await;
        is_sound(page, "now").await;
    }
    picture(&olga, "console-now").await;
    // By the keyboard alone: past the navigation with one key, and along it.
    olga.keys(TAB).await;
    assert!(olga.focused().await.contains("Skip to the content"), "{}", olga.focused().await);
    olga.keys(ENTER).await;
    let order = olga.tab_order(6).await;
    assert!(!order.iter().any(|stop| stop.contains("Periods")), "the navigation is skipped: {order:?}");
    carl.click("nav a[href='/dead']").await;
    olga.click("nav a[href='/dead']").await;
    for page in [&olga, &carl] {
        page.until_text("#dead", "7 letters").await;
        page.until_text("#dead", "6").await;
        is_sound(page, "dead letters").await;
    }
    picture(&olga, "console-dead").await;

    // The export job is mended; what would a replay do?
    for entity in ["ABEX", "BRAV", "CHAR", "DELT", "ECHO"] {
        world.write(&format!("{entity}.csv"), csv(entity, "2022-06", &[("10", "-1234.50"), ("20", "5")]));
    }
    olga.client().goto(&format!("{}/dead?code=row_invalid", console.url())).await.unwrap();
    olga.click("form[action='/dead/dry-run'] button").await;
    olga.until_text("#operation", "Nothing was changed").await;
    olga.until_text("#operation", "5 would load").await;
    olga.until_text("#operation", "-1229.5").await;
    is_sound(&olga, "a dry run").await;
    picture(&olga, "console-dry-run").await;
    assert_eq!(world.broker.dead(7).await.len(), 7);

    // One letter from its page, while somebody else looks on.
    olga.open(&format!("{}/dead?entity=FOXT", console.url())).await;
    olga.click("td a.id").await;
    olga.until_text("h1", "Dead letter").await;
    olga.until_text("main", "12O4.50").await;
    is_sound(&olga, "a letter").await;
    olga.fill("form[action='/dead/discard'] input[name=reason]", "sold <b>last</b> year").await;
    olga.click("form[action='/dead/discard'] button").await;
    olga.until_text("#operation", "1 of 1").await;
    olga.until_text("#operation", "done").await;
    olga.until_text("main", "sold <b>last</b> year").await;
    carl.until_text("#dead", "6 letters").await;

    olga.open(&format!("{}/dead?code=row_invalid", console.url())).await;
    olga.click("form[action='/dead/replay'] button").await;
    olga.until_text("#operation", "5 of 5").await;
    olga.until_text("#operation", "done").await;
    is_sound(&olga, "a replay").await;
    picture(&olga, "console-replay").await;
    carl.until_text("#dead", "1 letter").await;
    carl.until_text("#dead", "file_not_found").await;
    for entity in ["ABEX", "BRAV", "CHAR", "DELT", "ECHO"] {
        until("it is loaded", SOON, async || (world.slice(entity, "2022-06").await.0 == 2).then_some(())).await;
    }
    // The file is put there, and the last letter replayed by the other, with keys.
    world.write("GOLF.csv", csv("GOLF", "2022-06", &[("10", "5")]));
    carl.open(&format!("{}/dead", console.url())).await;
    let button = carl.element("form[action='/dead/replay'] button").await;
    button.send_keys(ENTER).await.unwrap();
    carl.until_text("#operation", "done").await;
    carl.click("nav a[href='/dead']").await;
    carl.until_text("#dead", "0 letters").await;

    // The close is done: the period is locked.
    carl.click("nav a[href='/periods']").await;
    carl.fill("form[action='/periods/lock'] input[name=period]", "2022-06").await;
    carl.fill("form[action='/periods/lock'] input[name=reason]", "reported").await;
    is_sound(&carl, "periods").await;
    carl.click("form[action='/periods/lock'] button").await;
    carl.until_text("main", "reported").await;
    is_sound(&carl, "locked periods").await;
    picture(&carl, "console-periods").await;
    carl.click("form[action='/sign-out'] button").await;
    carl.until_text("h1", "Sign in").await;
    world.settled().await;
    world.producer(&["verify"]).await.expect(0);
}

#[tokio::test]
async fn a_page_whose_session_is_over_shows_the_form_by_itself_and_nothing_more_of_the_books() {
    let Some(browser) = Browser::start().await else { return };
    let world = World::new().await;
    world.producer(&["migrate"]).await.expect(0);
    let people = world.path().join("users.toml");
    users(&people, &[("olga", "operator")]);
    let settings = [("AURA_CONSOLE_USERS_PATH", people.to_str().unwrap()), ("AURA_CONSOLE_SESSION_SECONDS", "3")];
    let console = world.console(&settings).await;
    let page = signed_in(&browser, &console.url(), "olga", false).await;
    page.until_text("h1", "Sign in").await;
    // A narrow page, at night.
    let phone = browser.session(400, 800, true).await;
    phone.open(&console.url()).await;
    phone.until_text("h1", "Sign in").await;
    is_sound(&phone, "the form on a phone").await;
    phone.fill("#token", &token("olga")).await;
    phone.click("form[action='/sign-in'] button").await;
    phone.until_text("h1", "Now").await;
    is_sound(&phone, "now on a phone").await;
    let wide = phone.run("return document.documentElement.scrollWidth", Vec::new()).await;
    assert!(wide.as_u64().unwrap() <= 400, "the page is {wide} wide");
}

#[tokio::test]
async fn every_page_can_be_used_by_everybody_on_a_wide_and_a_narrow_screen_by_day_and_by_night() {
    let Some(browser) = Browser::start().await else { return };
    let (world, _worker) = World::with_worker().await;
    let console = world.console(&[]).await;
    let good = world.write("ABEX.csv", csv("ABEX", "2022-06", &[("10", "5"), ("20", "-5")]));
    let of_batch = with(job(&good, "ABEX", "2022-06"), serde_json::json!({"batch_id": Uuid::from_u128(9)}));
    let loaded = world.ends("success", of_batch).await;
    let again = world.write("ABEX2.csv", csv("ABEX", "2022-06", &[("10", "6"), ("20", "-5"), ("30", "1")]));
    world.ends("success", job(&again, "ABEX", "2022-06")).await;
    let bad = world.write("BRAV.csv", csv("BRAV", "2022-06", &[("10", "12O4.50")]));
    let failed = world.ends("failed", job(&bad, "BRAV", "2022-06")).await;
    world.broker.dead(1).await;
    world.settled().await;
    let of = |receipt: &serde_json::Value, name: &str| receipt[name].as_str().unwrap_or_default().to_owned();
    let pages = [
        "/".to_owned(),
        "/jobs".to_owned(),
        format!("/jobs/{}", of(&loaded, "job_id")),
        format!("/jobs/{}", of(&failed, "job_id")),
        "/batches".to_owned(),
        format!("/batches/{}", of(&loaded, "batch_id")),
        "/slices".to_owned(),
        "/slices/ABEX/2022-06".to_owned(),
        "/slices/BRAV/2022-06".to_owned(),
        "/slices/ABEX/2022-06/verify".to_owned(),
        "/dead".to_owned(),
        format!("/dead/letters/{}", of(&failed, "job_id")),
        "/dead/operations".to_owned(),
        "/periods".to_owned(),
        "/sources".to_owned(),
        "/sources/default".to_owned(),
    ];
    for (width, dark) in [(1280, false), (400, true)] {
        let page = browser.session(width, 900, dark).await;
        for place in &pages {
            page.open(&format!("{}{place}", console.url())).await;
            let heading = page.text("h1").await;
            assert!(!heading.starts_with(|c: char| c.is_ascii_digit()), "{place}: {heading}");
            is_sound(&page, place).await;
            let wide = page.run("return document.documentElement.scrollWidth", Vec::new()).await;
            assert!(wide.as_u64().is_some_and(|wide| wide <= u64::from(width)), "{place} is {wide} wide on {width}");
            picture(&page, &format!("page{}-{width}", place.replace('/', "-"))).await;
        }
    }
}
