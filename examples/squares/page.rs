//! The answers as HTML pages.

use axum::http::StatusCode;

use crate::web::Squares;

pub(crate) fn squares(Squares { values, results }: &Squares) -> String {
    let rows = values.iter().zip(results).map(|(value, result)| {
        let (value, result) = (escape(value), escape(result));
        format!("<tr><td>{value}<td>{result}</tr>\n")
    });
    let rows = rows.collect::<Vec<_>>().concat();
    let main = format!(
        "<h1>Squares</h1>\n\
         <table>\n<thead><tr><th>value<th>value²</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>"
    );
    page("Squares", &values.join(","), &main)
}

pub(crate) fn refusal(status: StatusCode, error: &str) -> String {
    let main = format!("<h1>{status}</h1>\n<p class=error>{}</p>", escape(error));
    page(&status.to_string(), "", &main)
}

/// `title` and `main` are HTML, `values` is text.
fn page(title: &str, values: &str, main: &str) -> String {
    let values = escape(values);
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{STYLE}</style>
<main>
{main}
<form action="/squares">
<input name="values" value="{values}" placeholder="1,2,3" aria-label="Values" required>
<button>Square</button>
</form>
</main>
</html>
"#
    )
}

const STYLE: &str = "
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
main { max-width: 30rem; margin: 3rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .6rem; text-align: right; overflow-wrap: anywhere; border-bottom: 1px solid #8884 }
th { font-weight: 600 }
.error { padding: .6rem; border-left: 4px solid #c33; background: #c331; overflow-wrap: anywhere }
form { display: flex; gap: .5rem; margin-top: 1.5rem }
input { flex: 1; min-width: 0 }
input, button { font: inherit; padding: .3rem .6rem }
";

/// Text as it may stand in HTML, in content and in quoted attributes.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
