"""Short documents and what can be asked about them, for the measure of citations.

Names and figures are made up, so that no model knows an answer that it has not read.
"""

from typing import NamedTuple


class Document(NamedTuple):
    title: str
    text: str


class Question(NamedTuple):
    """`support` is a part of the one sentence that holds the answer; `answer` a word that a right answer has."""

    document: int
    text: str
    answer: str
    support: str


DOCUMENTS = (
    Document(
        "Harbour rules of Velmar",
        "The harbour of Velmar opens at six in the morning. Fishing boats moor at the north quay. Ferries to Osk "
        "leave from the south quay twice a day. A berth costs nine crowns per night. Dogs must be kept on a lead at "
        "all times. The harbour master is Ilse Brandt. Swimming is forbidden within the breakwater. Waste oil is "
        "collected on Tuesdays at the fuel dock.",
    ),
    Document(
        "The Tarn battery, data sheet",
        "The Tarn battery stores 14 kilowatt-hours. It weighs 128 kilograms. Charging from empty takes four hours. "
        "The cells are made of lithium iron phosphate. The housing is rated for temperatures from -20 to 50 "
        "degrees. The warranty runs for twelve years. A blinking orange light means that the fan is blocked. The "
        "unit must stand at least 30 centimetres away from any wall.",
    ),
    Document(
        "Minutes of the allotment club",
        "The meeting was held on 3 March in the old school. Nineteen members were present. Mrs Okafor was elected "
        "treasurer. The yearly fee rises to 42 pounds. The club will buy a second shredder in May. Bonfires are no "
        "longer allowed between April and September. Mr Pell reported that the well is 31 metres deep. The next "
        "meeting takes place on 9 June.",
    ),
    Document(
        "The grey-capped weaver",
        "The grey-capped weaver is a small bird of the Lomba valley. It builds its nest from strips of palm leaf. "
        "The female lays three pale green eggs. Both parents feed the young for seventeen days. Its main food is "
        "the seeds of wild millet. Its call sounds like a creaking door. About 2,300 pairs are thought to remain. "
        "Its greatest enemy is the tree snake.",
    ),
    Document(
        "Staff handbook, chapter 4",
        "Every employee has 27 days of leave a year. Requests for leave go to the team leader by e-mail. Sick notes "
        "are needed from the third day on. The canteen is closed on Fridays. Laptops are replaced every four years. "
        "Visitors sign in at the gatehouse. Travel by train is booked in second class. Expenses are paid back "
        "within fifteen working days.",
    ),
    Document(
        "A short history of Quell Castle",
        "Quell Castle was begun in 1287 by Count Aldous. Its chapel burned down in 1514. The moat was filled in to "
        "make a garden. During the siege of 1631 the well ran dry. The castle was sold to a brewer named Tomas "
        "Reyl. Today it houses a museum of clocks. The oldest clock there dates from 1560. Entry is free on the "
        "first Sunday of the month.",
    ),
    Document(
        "Recipe: smoked barley soup",
        "The soup serves six people. Soak the barley for eight hours. Fry the onions in goose fat until they are "
        "brown. Add two litres of chicken stock. The smoked salt goes in at the very end. Let it simmer for ninety "
        "minutes. Serve it with rye bread. What is left over keeps for three days in a cool place.",
    ),
    Document(
        "Release notes of Plover 5",
        "Plover 5 was released on 12 August. It needs at least two gigabytes of memory. The new parser is written "
        "in Rust. Configuration files are now read in TOML. Support for 32-bit systems has ended. The default port "
        "has changed to 7400. Logs are rotated each night at two o'clock. A bug that lost messages during restarts "
        "was fixed by Dana Wu.",
    ),
)

QUESTIONS = (
    Question(0, "How much does a berth cost?", "nine", "nine crowns"),
    Question(0, "Who is the harbour master?", "Brandt", "Ilse Brandt"),
    Question(0, "Where do the ferries to Osk leave from?", "south", "south quay"),
    Question(0, "When does the harbour open?", "six", "six in the morning"),
    Question(0, "On which day is waste oil collected?", "Tuesday", "Tuesdays"),
    Question(1, "How heavy is the Tarn battery?", "128", "128 kilograms"),
    Question(1, "How long is the warranty of the Tarn battery?", "twelve", "twelve years"),
    Question(1, "What does a blinking orange light mean?", "fan", "blinking orange"),
    Question(1, "How far must the unit stand away from a wall?", "30", "30 centimetres"),
    Question(1, "What are the cells made of?", "iron", "lithium iron phosphate"),
    Question(2, "Who was elected treasurer?", "Okafor", "Okafor"),
    Question(2, "How deep is the well?", "31", "31 metres"),
    Question(2, "What is the yearly fee going to be?", "42", "42 pounds"),
    Question(2, "When is the next meeting?", "June", "9 June"),
    Question(3, "How many eggs does the female weaver lay?", "three", "three pale green"),
    Question(3, "What does the bird mainly eat?", "millet", "wild millet"),
    Question(3, "What is the greatest enemy of the weaver?", "snake", "tree snake"),
    Question(3, "How many pairs are thought to remain?", "2,300", "2,300 pairs"),
    Question(4, "How many days of leave do employees have?", "27", "27 days"),
    Question(4, "On which day is the canteen closed?", "Friday", "Fridays"),
    Question(4, "How often are laptops replaced?", "four", "every four years"),
    Question(4, "Where do visitors sign in?", "gatehouse", "gatehouse"),
    Question(5, "Who bought the castle?", "Reyl", "Tomas Reyl"),
    Question(5, "When did the chapel burn down?", "1514", "1514"),
    Question(5, "What is in the castle today?", "clock", "museum of clocks"),
    Question(5, "When was the castle begun?", "1287", "1287"),
    Question(6, "For how long must the barley be soaked?", "eight", "eight hours"),
    Question(6, "How much stock goes into the soup?", "two lit", "chicken stock"),
    Question(6, "What bread is the soup served with?", "rye", "rye bread"),
    Question(6, "When is the smoked salt added?", "end", "smoked salt"),
    Question(7, "What is the default port of Plover 5?", "7400", "7400"),
    Question(7, "Who fixed the bug that lost messages?", "Wu", "Dana Wu"),
    Question(7, "How much memory does Plover 5 need?", "two", "two gigabytes"),
    Question(7, "When are logs rotated?", "night", "rotated"),
    Question(7, "Which language is the new parser written in?", "Rust", "Rust"),
    Question(1, "How long does charging from empty take?", "four", "four hours"),
)
