"""Names and sentences of the made-up people; data only."""

from __future__ import annotations

_FIRST_NAMES = """
Ana Ben Carla Daniel Elena Farid Grace Hugo Ines Jonas Kemi Liam Maya Noah Olga Pablo Quinn Rosa
Samir Tara Umar Vera Wei Ximena Yusuf Zara Aisha Bruno Chloe Dmitri Emma Fatima Giulia Hana Ivan
Julia Kofi Lena Mateo Nadia Omar Priya Rafael Sofia Theo Uma Viktor Yuki Adam Bianca Cyril Diya
Erik Freya Goran Heidi Isak Jana Karim Lucia Marek Nora Otto Petra Rahul Selma Tomas Ursula
Vikram Wanda Amara Björn Célia Dário Émile Łukasz Søren Zoë
"""
FIRST_NAMES = tuple(_FIRST_NAMES.split())
_LAST_NAMES = """
Silva Martin Rossi Novak Kim Tanaka Garcia Müller Schmidt Dubois Jansen Kowalski Ivanov Ahmed
Khan Patel Singh Nguyen Chen Wang Okafor Mensah Diallo Haddad Cohen Levi Santos Oliveira Costa
Fernández López Moreau Bernard Fischer Weber Bianchi Ricci Nilsson Larsen Berg Virtanen Horvat
Popescu Dimitrov Papadopoulos Yılmaz Demir Sato Suzuki Park Lee Brown Smith Jones Taylor Walker
O'Brien Murphy Campbell Fraser Clarke Adeyemi Mwangi Abebe Reyes Cruz Torres Vargas
"""
LAST_NAMES = tuple(_LAST_NAMES.split())
COUNTRIES = (
    ("US", "en"), ("GB", "en"), ("IN", "en"), ("NG", "en"), ("DE", "de"), ("FR", "fr"), ("ES", "es"),
    ("MX", "es"), ("BR", "pt"), ("IT", "it"), ("PL", "pl"), ("JP", "ja"), ("KR", "ko"), ("TR", "tr"),
)  # fmt: skip

#: Slots: {me} the character, {series} where it is from, {other} another character.
QUESTIONS = (
    "Hi {me}, what was the hardest moment of {series} for you?",
    "Do you trust {other}?",
    "If you could change one decision, which would it be?",
    "What would you say to {other} if you met today?",
    "Tell me something about {series} that nobody knows.",
    "How do you keep calm when everything goes wrong?",
    "What does a quiet day look like for you?",
    "Who taught you the most?",
    "I just watched {series} again. Why did you do it?",
    "What is your favourite food?",
    "Would you and {other} be friends in real life?",
    "Can you give me some advice? I have an exam tomorrow.",
    "What scares you, {me}?",
    "Describe your best friend in three words.",
    "What happens after the ending?",
    "Is there anything you regret?",
    "Let's make up a story: we are lost in a storm, what now?",
    "That made me laugh. Go on!",
    "Really? I did not expect that from you.",
    "And then?",
)
ANSWERS = (
    "Everybody asks about that. The truth is that I had no plan, I only knew that I could not stay.",
    "{other} and I have a history. Trust is something you notice when it is gone.",
    "I would do the same again, only sooner.",
    "In {series} it looked easy. It was not. I was tired, hungry and far from home.",
    "You want the short answer or the honest one? The honest one takes a little longer. I was afraid.",
    "Ha! Ask {other}, who tells it better. But do not believe the part about the door.",
    "A quiet day? Coffee, a book, nobody at the window.",
    "Sleep first, then read the hard parts again in the morning. It worked for me.",
    "I think endings are only places where somebody stopped telling.",
    "Loyal, stubborn, late. Always late.",
    "We find shelter, we count what we have, and you tell me why you brought the umbrella.",
    "What scares me is not the dark. It is how quickly one gets used to it.",
    "You remind me of somebody I knew. That is a compliment, by the way.",
    "No regrets. Well, one. But that is a story for another evening.",
    "Then we ran. There are moments in which running is the wisest thing a person can do.",
    "My teacher said little, and I still hear every word of it.",
)
STORY_OPENINGS = (
    "The rain had not stopped for three days when {me} knocked at the door.",
    "Nobody in the city remembered when the clocks had begun to run backwards, but {me} did.",
    "It began with a letter that was addressed to {other} and opened by {me}.",
    "On the last evening of the summer {me} came home and found the lights on.",
)
STORY_MIDDLES = (
    "They said nothing for a long time. Outside a dog barked, and far away a train went by.",
    '"You should not have come," said {other}, and put the kettle on all the same.',
    "There was a map, and on the map a place that neither of them knew.",
    "The plan was simple, which was the first thing that was wrong with it.",
)
STORY_ENDINGS = (
    "In the morning both chairs were empty and the letter was gone.",
    "They laughed about it later, but not that night.",
    "And the door, which had been locked for years, stood open.",
)
STORY_TITLES = (
    "The Letter for {other}", "{me} Comes Home", "Three Days of Rain", "The Open Door",
    "What {other} Knew", "A Place on the Map",
)  # fmt: skip
ROOM_NAMES = (
    "{series} rewatch", "All about {series}", "{me} fan club", "{series} theories",
    "Late night {series}",
)  # fmt: skip
ROOM_LINES = (
    "Hello everybody!", "Has anyone seen the new trailer?", "I still think {me} was right.",
    "No spoilers please, I am at the middle.", "The music in that scene!", "Who starts tonight?",
    "Agreed.", "I have never noticed that.", "Let's vote on it.", "See you tomorrow!",
)  # fmt: skip
SCENARIO_TITLES = (
    "{me} in our time", "A dinner with {me}", "{me} and {other} swap places", "One day in {series}",
)  # fmt: skip
SETTINGS = ("a small harbour", "a night train", "an empty school", "the last day of summer",
            "a city without light")  # fmt: skip
TONES = ("funny", "dark", "hopeful", "romantic", "mysterious")
THEMES = ("friendship", "loss", "courage", "family", "betrayal", "first love", "home")
OWN_CHARACTERS = ("Captain", "Doctor", "Little", "Old", "Lady", "Brother", "Agent", "Baker")
PERSONALITIES = ("warm and curious", "dry and clever", "proud, but fair", "shy at first")
