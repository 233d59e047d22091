//! What all pages share: the frame, the style sheet, links to lists.

use axum::http::header;
use axum::response::{Html, IntoResponse};
use maud::{DOCTYPE, Markup, html};

use super::show::visible;

/// A page around its body.
pub(super) fn layout(title: &str, body: &Markup) -> Html<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (visible(title)) " · kvaudit" }
                link rel="stylesheet" href="/style.css";
            }
            body {
                header.top { a.brand href="/" { "kvaudit" } span { "Key Vault audit alerts" } }
                main { (body) }
            }
        }
    };
    Html(page.into_string())
}

/// `GET /style.css`.
pub(super) async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("style.css"))
}

/// The list with these parameters.
pub(super) fn list_link<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    if query.is_empty() { "/".to_owned() } else { format!("/?{query}") }
}
