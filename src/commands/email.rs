//! `autoos email preview`: every mail with its samples as files, to be looked at in a browser.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use shared::email::{Mail, Rendered, render};

/// What to do with mails.
#[derive(Debug, Subcommand)]
pub enum Email {
    /// Writes every sample of every mail as HTML and text, with an index.html to begin at
    Preview {
        /// The folder to write to
        #[arg(long, value_name = "DIR", default_value = "./data/mail-preview")]
        out: PathBuf,
    },
}

/// Writes the files.
pub fn run(command: Email) -> anyhow::Result<()> {
    let Email::Preview { out } = command;
    fs::create_dir_all(&out).with_context(|| format!("the folder {} cannot be made", out.display()))?;
    let mut rows = Vec::new();
    for (sample, mail) in Mail::samples() {
        let rendered = render(&mail)?;
        let name = format!("{}.{sample}", mail.kind());
        write(&out, &format!("{name}.html"), &rendered.html)?;
        write(&out, &format!("{name}.txt"), &rendered.text)?;
        write(&out, &format!("{name}.subject.txt"), &format!("{}\n", rendered.subject))?;
        rows.push(row(&name, &rendered));
    }
    write(&out, "index.html", &index(&rows))?;
    println!("Wrote {} samples; begin at {}", rows.len(), out.join("index.html").display());
    Ok(())
}

fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
}

fn row(name: &str, rendered: &Rendered) -> String {
    let subject = rendered.subject.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<li><a href=\"{name}.html\">{subject}</a> <small>{name}, <a href=\"{name}.txt\">text</a></small></li>")
}

fn index(rows: &[String]) -> String {
    let rows = rows.join("\n");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Mails of AUTOOS</title>\n\
         <h1>Mails of AUTOOS</h1>\n<ul>\n{rows}\n</ul>\n</html>\n"
    )
}
