//! Renders a mail: its text from the folder of its language, and the HTML from the text,
//! so that both always say the same.
//!
//! A text is paragraphs between blank lines, after the subject. A paragraph that begins
//! with `[code]` is a code, one with `[button]` a link with its label, and lines that begin
//! with `- ` are facts.

use std::fmt::Write as _;

use askama::Template;
use mail::Language;

use crate::Mail;

/// A mail as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// The text of a mail in its language.
#[derive(Template)]
#[template(path = "mail.txt")]
struct Text<'a> {
    mail: &'a Mail,
    language: Language,
}

/// The HTML of a mail.
#[derive(Template)]
#[template(path = "mail.html")]
struct Html<'a> {
    language: &'a str,
    product: &'a str,
    subject: &'a str,
    blocks: &'a [Block<'a>],
}

/// A part of a mail.
enum Block<'a> {
    Paragraph(String),
    Code(&'a str),
    Button { label: &'a str, link: &'a str },
    Facts(Vec<(&'a str, &'a str)>),
}

/// Renders a mail in a language, from the product of this name.
///
/// # Errors
/// The error of a template, which none of ours has.
pub fn render(mail: &Mail, language: Language, product: &str) -> Result<Rendered, askama::Error> {
    let source = Text { mail, language }.render()?;
    let (subject, body) = source.trim().split_once('\n').unwrap_or((&source, ""));
    let subject = subject.trim();
    let paragraphs = body.split("\n\n").map(str::trim);
    let blocks: Vec<Block> = paragraphs
        .filter(|it| !it.is_empty())
        .map(Block::read)
        .collect();
    let html = Html {
        language: language.tag(),
        product,
        subject,
        blocks: &blocks,
    };
    Ok(Rendered {
        subject: subject.to_owned(),
        text: plain(&blocks),
        html: html.render()?,
    })
}

impl<'a> Block<'a> {
    fn read(paragraph: &'a str) -> Self {
        if let Some(code) = paragraph.strip_prefix("[code] ") {
            return Self::Code(code);
        }
        if let Some(button) = paragraph.strip_prefix("[button] ")
            && let Some((label, link)) = button.split_once(" -> ")
        {
            return Self::Button { label, link };
        }
        if paragraph.starts_with("- ") {
            let facts = paragraph.lines().filter_map(|line| {
                let (name, value) = line.trim_start_matches("- ").split_once(": ")?;
                Some((name, value))
            });
            return Self::Facts(facts.collect());
        }
        Self::Paragraph(
            paragraph
                .lines()
                .map(str::trim)
                .collect::<Vec<_>>()
                .join(" "),
        )
    }
}

/// Returns the plain text of a mail.
fn plain(blocks: &[Block]) -> String {
    let mut text = String::new();
    for block in blocks {
        let written = match block {
            Block::Paragraph(paragraph) => writeln!(text, "{paragraph}\n"),
            Block::Code(code) => writeln!(text, "    {code}\n"),
            Block::Button { label, link } => writeln!(text, "{label}:\n{link}\n"),
            Block::Facts(facts) => {
                for (name, value) in facts {
                    writeln!(text, "    {name}: {value}").expect("a string takes any text");
                }
                writeln!(text)
            }
        };
        written.expect("a string takes any text");
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}
