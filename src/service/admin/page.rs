//! The page: plain files, a part of the binary.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::answer::Refused;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Name, kind and contents of each file.
const FILES: &[(&str, &str, &str)] = &[
    ("api.js", SCRIPT, include_str!("page/api.js")),
    ("app.css", CSS, include_str!("page/app.css")),
    ("app.js", SCRIPT, include_str!("page/app.js")),
    ("dom.js", SCRIPT, include_str!("page/dom.js")),
    ("exceptions.js", SCRIPT, include_str!("page/exceptions.js")),
    ("filters.js", SCRIPT, include_str!("page/filters.js")),
    ("format.js", SCRIPT, include_str!("page/format.js")),
    ("lifeline.js", SCRIPT, include_str!("page/lifeline.js")),
    ("newest.js", SCRIPT, include_str!("page/newest.js")),
    ("opened.js", SCRIPT, include_str!("page/opened.js")),
    ("package.js", SCRIPT, include_str!("page/package.js")),
    ("partitions.js", SCRIPT, include_str!("page/partitions.js")),
    ("policies.js", SCRIPT, include_str!("page/policies.js")),
    ("poll.js", SCRIPT, include_str!("page/poll.js")),
    ("rows.js", SCRIPT, include_str!("page/rows.js")),
    ("shared.js", SCRIPT, include_str!("page/shared.js")),
    ("spark.js", SCRIPT, include_str!("page/spark.js")),
    ("stalls.js", SCRIPT, include_str!("page/stalls.js")),
    ("status.js", SCRIPT, include_str!("page/status.js")),
    ("token.js", SCRIPT, include_str!("page/token.js")),
    ("unread.js", SCRIPT, include_str!("page/unread.js")),
];

pub async fn index() -> Response {
    ([(header::CONTENT_TYPE, HTML)], include_str!("page/index.html")).into_response()
}

pub async fn file(Path(name): Path<String>) -> Result<Response, Refused> {
    let found = FILES.iter().find(|(known, ..)| *known == name);
    let (_, kind, text) =
        found.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "the page has no such file"))?;
    Ok(([(header::CONTENT_TYPE, *kind)], *text).into_response())
}

pub async fn openapi() -> Response {
    let kind = "application/json; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], include_str!("openapi.json")).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What stands in quotes behind `before`, wherever it occurs.
    fn quoted<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
        text.split(before).skip(1).filter_map(|rest| rest.split('"').next())
    }

    #[test]
    fn every_file_of_the_page_is_served_and_every_one_it_asks_for_is_there() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/service/admin/page");
        let files = std::fs::read_dir(folder).unwrap();
        let mut there: BTreeSet<_> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        assert!(there.remove("index.html"));
        let served: BTreeSet<_> = FILES.iter().map(|(name, ..)| (*name).to_owned()).collect();
        assert_eq!(served, there);
        let page = include_str!("page/index.html");
        let mut asked: BTreeSet<_> = quoted(page, "\"page/").map(str::to_owned).collect();
        for (_, _, text) in FILES {
            asked.extend(quoted(text, "from \"./").map(str::to_owned));
        }
        assert_eq!(asked, served);
    }

    #[test]
    fn nothing_of_the_page_is_inline_or_from_elsewhere() {
        let page = include_str!("page/index.html");
        for inline in [" style=", " onclick=", "<style", "javascript:"] {
            assert!(!page.contains(inline), "{inline}");
        }
        assert_eq!(
            page.matches("<script").count(),
            page.matches("<script type=\"module\" src=").count()
        );
        for (name, _, text) in FILES.iter().chain([&("index.html", HTML, page)]) {
            let addresses = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!addresses.contains("http://") && !addresses.contains("https://"), "{name}");
            assert!(!text.contains("innerHTML") && !text.contains("eval("), "{name}");
        }
    }
}
