"""Fifteen tools, prompts that need one of them, and prompts that need none though they talk of JSON, code and tools.

Data only. It was fixed before the recogniser was written, so that the recogniser is not fitted to it.
"""

from typing import Any, NamedTuple


class Needing(NamedTuple):
    """What a user asks, and the name of the tool that answers it."""

    prompt: str
    tool: str


def _tool(name: str, description: str, properties: dict[str, Any], required: str = "") -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required.split()}
    return {"name": name, "description": description, "input_schema": schema}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _one_of(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


_PLACE = {
    "type": "object",
    "properties": {"latitude": {"type": "number"}, "longitude": {"type": "number"}, "label": {"type": "string"}},
    "required": ["latitude", "longitude"],
}
_ITEM = {
    "type": "object",
    "properties": {"sku": {"type": "string"}, "quantity": {"type": "integer", "minimum": 1}},
    "required": ["sku", "quantity"],
}

TOOLS: tuple[dict[str, Any], ...] = (
    _tool(
        "get_weather",
        "The current weather of a city.",
        {"city": _text("Name of the city"), "unit": _one_of("celsius", "fahrenheit")},
        "city",
    ),
    _tool(
        "get_time",
        "The time of day in a time zone.",
        {"timezone": _text("IANA name, such as Europe/Paris")},
        "timezone",
    ),
    _tool(
        "search_web",
        "Searches the web and returns the first results.",
        {"query": _text("What to look for"), "num_results": {"type": "integer", "minimum": 1, "maximum": 20}},
        "query",
    ),
    _tool(
        "send_email",
        "Sends an email from the user's account.",
        {
            "to": {"type": "array", "items": {"type": "string", "format": "email"}},
            "subject": {"type": "string"},
            "body": {"type": "string"},
            "cc": {"type": "array", "items": {"type": "string"}},
            "priority": _one_of("low", "normal", "high"),
        },
        "to subject body",
    ),
    _tool(
        "create_event",
        "Puts an event into the user's calendar.",
        {
            "title": {"type": "string"},
            "start": {"type": "string", "format": "date-time"},
            "duration_minutes": {"type": "integer"},
            "attendees": {"type": "array", "items": {"type": "string"}},
            "location": {"type": "string"},
            "recurrence": {
                "type": "object",
                "properties": {"every": _one_of("day", "week", "month"), "count": {"type": "integer"}},
                "required": ["every"],
            },
        },
        "title start",
    ),
    _tool(
        "read_file",
        "Reads a text file.",
        {"path": _text("Absolute path"), "offset": {"type": "integer"}, "limit": {"type": "integer"}},
        "path",
    ),
    _tool(
        "write_file",
        "Writes a text file, over what was there.",
        {"path": _text("Absolute path"), "content": {"type": "string"}},
        "path content",
    ),
    _tool(
        "run_command",
        "Runs a shell command and returns its output.",
        {"command": {"type": "string"}, "timeout_s": {"type": "number"}, "is_background": {"type": "boolean"}},
        "command",
    ),
    _tool(
        "convert_currency",
        "Converts an amount of money at today's rate.",
        {"amount": {"type": "number"}, "from": _text("ISO 4217 code"), "to": _text("ISO 4217 code")},
        "amount from to",
    ),
    _tool(
        "find_route",
        "Finds the way between two places.",
        {
            "origin": _PLACE,
            "destination": _PLACE,
            "mode": _one_of("walk", "bicycle", "car", "train"),
            "avoid_tolls": {"type": "boolean"},
        },
        "origin destination",
    ),
    _tool(
        "query_database",
        "Runs one read-only SQL statement on the shop's database (tables customers, orders, products).",
        {"sql": {"type": "string"}, "max_rows": {"type": ["integer", "null"]}},
        "sql",
    ),
    _tool(
        "place_order",
        "Orders items for a customer.",
        {
            "customer_id": {"type": "string"},
            "items": {"type": "array", "items": _ITEM, "minItems": 1},
            "shipping": {
                "type": "object",
                "properties": {"method": _one_of("standard", "express"), "address": {"type": "string"}},
                "required": ["method"],
            },
        },
        "customer_id items",
    ),
    _tool(
        "translate",
        "Translates a text.",
        {"text": {"type": "string"}, "target": _text("Language, in English")},
        "text target",
    ),
    _tool(
        "set_light",
        "Switches or dims the lights of a room.",
        {
            "room": _one_of("kitchen", "bedroom", "office", "hall"),
            "is_on": {"type": "boolean"},
            "brightness": {"type": "integer", "minimum": 0, "maximum": 100},
        },
        "room is_on",
    ),
    _tool("get_stock_price", "The last price of a share.", {"ticker": _text("Ticker symbol, such as AAPL")}, "ticker"),
)

NEEDING: tuple[Needing, ...] = (
    Needing("What is the weather in Paris right now?", "get_weather"),
    Needing("Do I need an umbrella in Tokyo today?", "get_weather"),
    Needing("How many degrees Fahrenheit is it in Chicago?", "get_weather"),
    Needing("Is it snowing in Oslo?", "get_weather"),
    Needing("Check the temperature in São Paulo, in celsius please.", "get_weather"),
    Needing("What time is it in Tokyo?", "get_time"),
    Needing("Tell me the current time in New York.", "get_time"),
    Needing("My colleague lives in Berlin. Is it already evening there?", "get_time"),
    Needing("What's the time in UTC?", "get_time"),
    Needing("Search the web for the newest release of PostgreSQL.", "search_web"),
    Needing("Find me 5 articles about heat pumps in old houses.", "search_web"),
    Needing("Look up online who won yesterday's football final.", "search_web"),
    Needing("Google the opening hours of the Louvre.", "search_web"),
    Needing('Search for "error: externally-managed-environment" and show three results.', "search_web"),
    Needing("Send an email to ana@example.com that says the meeting has moved to Friday.", "send_email"),
    Needing(
        "Write to bob@example.com and carol@example.com: subject 'Lunch', text 'At noon in the yard?'", "send_email"
    ),
    Needing("Email support@example.com with high priority that the server is down.", "send_email"),
    Needing("Please mail dave@example.com a thank-you note with cc to eve@example.com.", "send_email"),
    Needing("Put a dentist appointment into my calendar on 3 March 2027 at 9:30.", "create_event"),
    Needing("Schedule a 45 minute call with ana@example.com for 2027-01-12 at 14:00.", "create_event"),
    Needing(
        "Create a weekly event 'Stand-up' that starts on 2027-02-01T09:00:00 and repeats ten times.", "create_event"
    ),
    Needing("Book the meeting room Garden on 5 May 2027 at 10 for the team review.", "create_event"),
    Needing("Show me what is in /etc/hosts.", "read_file"),
    Needing("Read the first 20 lines of /var/log/syslog.", "read_file"),
    Needing("Open /home/ana/notes.md and tell me what I wrote about the garden.", "read_file"),
    Needing("What does the file /srv/app/config.json hold?", "read_file"),
    Needing("Read /src/main.py from line 100 on.", "read_file"),
    Needing("Save the text 'hello world' to /tmp/hello.txt.", "write_file"),
    Needing("Write a Python script that prints the numbers 1 to 10 into /tmp/count.py.", "write_file"),
    Needing('Create /tmp/person.json with the content {"name": "Ann", "age": 5}.', "write_file"),
    Needing("Put a small HTML page with the heading Hello into /var/www/index.html.", "write_file"),
    Needing("Make a file /tmp/.env that sets PORT=8080 and DEBUG=true on two lines.", "write_file"),
    Needing("Run `ls -la /tmp` for me.", "run_command"),
    Needing("How much disk space is free? Use the shell.", "run_command"),
    Needing("Execute the tests with pytest -q.", "run_command"),
    Needing("Start `python3 -m http.server 8000` in the background.", "run_command"),
    Needing('Run grep -rn "TODO" src | wc -l with a timeout of 10 seconds.', "run_command"),
    Needing("Show the last three commits with git.", "run_command"),
    Needing("How much is 250 US dollars in euros today?", "convert_currency"),
    Needing("Convert 99.90 GBP to JPY.", "convert_currency"),
    Needing("I have 1,000,000 Korean won. How many Swiss francs is that?", "convert_currency"),
    Needing("Change 12.5 euros into Czech koruna.", "convert_currency"),
    Needing("How do I get by bicycle from 52.52, 13.40 to 52.40, 13.05?", "find_route"),
    Needing(
        "Find a car route without tolls from latitude 48.85, longitude 2.35 to latitude 45.76, longitude 4.84.",
        "find_route",
    ),
    Needing("Plan a walk from the point 51.5, -0.12 (home) to 51.51, -0.08 (work).", "find_route"),
    Needing("How many customers do we have? Look into the database.", "query_database"),
    Needing("List the ten products with the highest price.", "query_database"),
    Needing("Which orders were placed in October 2026? At most 50 rows.", "query_database"),
    Needing("Select the e-mail addresses of all customers from Lisbon.", "query_database"),
    Needing("Order three pieces of SKU A-100 for customer C-42.", "place_order"),
    Needing("Customer C-7 wants one B-200 and two C-300, with express shipping.", "place_order"),
    Needing("Place an order for customer C-99: 12 x D-1, standard shipping to 5 Main Street.", "place_order"),
    Needing("Translate 'Where is the station?' into Japanese with the tool.", "translate"),
    Needing("Use the translator: 'Guten Morgen' in French.", "translate"),
    Needing('Please translate "He said: \\"no\\"." into Spanish using the translate tool.', "translate"),
    Needing("Turn on the kitchen lights.", "set_light"),
    Needing("Dim the bedroom to 20 percent.", "set_light"),
    Needing("It is too bright in the office, switch the light off.", "set_light"),
    Needing("Hall lights on at full brightness, please.", "set_light"),
    Needing("What is the price of Apple's share?", "get_stock_price"),
    Needing("How is NVDA doing right now?", "get_stock_price"),
    Needing("Get me the latest quote for MSFT.", "get_stock_price"),
    Needing("Compare: what is the weather in Rome, and what in Madrid?", "get_weather"),
    Needing("Switch off the lights in the kitchen and in the hall.", "set_light"),
    Needing("I need the prices of TSLA and of AMZN.", "get_stock_price"),
)

NEEDLESS: tuple[str, ...] = (
    "Show me a JSON example of a person with a name and an age.",
    "Give me a JSON list of three fruits with name and colour.",
    'What does this mean: {"name": "Ann", "arguments": []}?',
    "Write an example of an OpenAPI parameter object in JSON.",
    "Write a Python function call that prints hello.",
    "Write a Python function get_temperature(city) that returns a made-up number.",
    "Show a Python dictionary with the keys name and parameters.",
    "Explain what <tool_call> means in a chat template.",
    "What is the difference between <think> and <thinking> tags?",
    "Explain how function calling works in language models, with an example in JSON.",
    "Which tools do you have? Answer in one sentence.",
    "List your tools as JSON.",
    "Do not use any tool: what is 2 + 2?",
    "What is the capital of France?",
    "Say hello.",
    "Write a haiku about rain.",
    "What is JSON?",
    "Write a JSON Schema for a person.",
    "Convert this YAML to JSON: name: Ann, age: 5.",
    "Write an XML document with an element function that has the attribute name.",
    "How do I define a function in JavaScript?",
    "Show me a package.json with a name and two scripts.",
    "What does `[TOOL_CALLS]` stand for?",
    "Write a markdown table of three tools of a carpenter.",
    "How would I call a REST API with curl? Show an example.",
    "Give me an example of a tsconfig.json.",
    "What is a tool?",
    "Explain the difference between arguments and parameters of a function.",
    'Complete this line: {"name":',
    "Write a bash loop that counts to five.",
    "Show the JSON that an HTTP API could return for an order with two items.",
    "Explain JSON-RPC with a request and a response.",
    "What is the plural of 'mouse'?",
    "Show me a Kubernetes pod in JSON.",
    "Write a C++ template function that returns the larger of two values.",
    "Show an HTML page with a <function> tag in a code block.",
    "What is {x | x > 3} in mathematics?",
    "Write a list of Python calls in brackets, for example [print(1), print(2)].",
    "Show a GeoJSON point.",
    "Write a regular expression for a date, in a code block.",
    "What are XML closing tags? Show </parameter> as an example.",
    "Explain json.dumps and json.loads to a beginner.",
    "Show the JSON of a chess move.",
    "Write a unit test for a function named add.",
    'Show me a log line in JSON with "level" and "message".',
)
