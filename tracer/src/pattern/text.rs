//! What a pattern says to people, in English and Chinese.

/// A language of the documentation. Records are always English.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lang {
    /// English.
    En,
    /// Simplified Chinese.
    Zh,
}

/// The documentation of a pattern.
pub struct Text {
    /// In English.
    pub en: Words,
    /// In Chinese.
    pub zh: Words,
}

/// One language's words. Paragraphs are separated by an empty line.
pub struct Words {
    /// The title, under 60 columns.
    pub title: &'static str,
    /// What is seen on the host.
    pub seen: &'static str,
    /// What it means, and what Linux does (where that differs from what books say).
    pub means: &'static str,
    /// What to do, in which order.
    pub advice: &'static str,
    /// One command that confirms it, with `PORT`, `PID` or `ADDRESS` to be filled in.
    pub confirm: &'static str,
}

impl Text {
    /// The words in a language.
    pub const fn of(&self, lang: Lang) -> &Words {
        match lang {
            Lang::En => &self.en,
            Lang::Zh => &self.zh,
        }
    }
}
