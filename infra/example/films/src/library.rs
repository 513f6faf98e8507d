//! The films. They are short and invented.

/// A film, with one scene for each piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Film {
    /// Its id in paths.
    pub id: &'static str,
    /// Its title.
    pub title: &'static str,
    scenes: &'static [&'static str],
}

impl Film {
    /// Returns the number of its pieces.
    #[must_use]
    pub fn pieces(&self) -> u32 {
        u32::try_from(self.scenes.len()).unwrap_or(u32::MAX)
    }

    /// Returns the scene of a piece.
    pub(crate) fn scene(&self, position: u32) -> Option<&'static str> {
        let position = usize::try_from(position).ok()?;
        self.scenes.get(position).copied()
    }
}

/// All films.
pub const FILMS: [Film; 3] = [
    Film {
        id: "the-last-ferry",
        title: "The Last Ferry",
        scenes: &[
            "A harbour at dusk. The lamps come on, one after the other.",
            "A woman with a suitcase runs down the pier.",
            "The ferry's horn. Ropes fall into the water.",
            "She stops. The gap is already a metre wide.",
            "A deckhand holds out his hand.",
            "Black.",
            "Morning. The suitcase stands alone on the pier.",
            "A gull sits on it, and looks out to sea.",
            "Far out, somebody waves.",
            "The lamps go out, one after the other.",
            "A child asks whose suitcase it is.",
            "Nobody knows. The next ferry comes at noon.",
        ],
    },
    Film {
        id: "nine-lanterns",
        title: "Nine Lanterns",
        scenes: &[
            "Snow on a mountain path. A lantern swings.",
            "Then a second one, and a third.",
            "Nine people walk, and nobody speaks.",
            "The first one raises a hand. Everybody stops.",
            "Below, in the valley, a window is lit.",
            "\"Somebody is home,\" says the youngest.",
            "They put their lanterns out, one by one.",
            "Only the snow is to be heard.",
            "The window goes dark.",
            "They light the lanterns again. There are ten.",
        ],
    },
    Film {
        id: "hotel-by-the-motorway",
        title: "Hotel by the Motorway",
        scenes: &[
            "A corridor. A carpet with a pattern of anchors.",
            "Room 214. The television is on, and nobody is there.",
            "On the screen, a film: a harbour at dusk.",
            "A cleaner comes in with a cart. He watches for a while.",
            "He reads the name of the account on the screen.",
            "\"You have left your television on,\" he says to it.",
            "Three hundred kilometres away, a phone lights up.",
            "A thumb, a list of devices, a button.",
            "The screen in room 214 goes dark.",
            "The cleaner nods, and switches off the lamp.",
        ],
    },
];
