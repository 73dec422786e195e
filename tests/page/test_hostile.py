"""What a model writes, and what files are called, may be anything; in the page it is only ever read."""

from pathlib import Path

from playwright.sync_api import Browser, expect

from rivermouth.providers.scripted import End, Reasoning, ScriptedProvider, Text
from tests.page.visit import visiting

ATTACKS = [
    "<script>window.hit = 1</script>",
    '<img src=x onerror="window.hit = 1">',
    '<svg onload="window.hit = 1"></svg>',
    '<iframe srcdoc="<script>parent.hit = 1</script>"></iframe>',
    "[click](javascript:window.hit=1)",
    "[click](JaVaScRiPt&colon;window.hit=1)",
    "[click](data:text/html,<script>window.hit=1</script>)",
    "[click](vbscript:x)",
    "![pixel](https://tracker.example/pixel.png)",
    '![x](x" onerror="window.hit=1)',
    '<a href="javascript:window.hit=1">click</a>',
    "[a]: javascript:window.hit=1\n\n[a]",
    "<javascript:window.hit=1>",
    '<form action="https://tracker.example"><input name=x><button>go</button></form>',
    '<style>body { display: none }</style><link rel=stylesheet href="https://tracker.example/x.css">',
    '<base href="https://tracker.example/"><meta http-equiv=refresh content="0;url=https://tracker.example/">',
    '<math><mtext><table><mglyph><style><!--</style><img title="--><img src=1 onerror=window.hit=1>">',
    "```html\n<script>window.hit = 1</script>\n```",
    "`<img src=x onerror=window.hit=1>`",
    "| a |\n|---|\n| <img src=x onerror=window.hit=1> |",
    "<div id=page>clobbered</div><form id=location><input id=href></form>",
    "\x00\x1b[31m\u202eexe.txt\u2028",
]


def test_nothing_that_a_model_writes_is_run_or_fetched(browser: Browser, tmp_path: Path) -> None:
    text = "\n\n".join(ATTACKS)
    model = ScriptedProvider(
        [Reasoning(text), *(Text(text[at : at + 7]) for at in range(0, len(text), 7)), Text("\n\nend of it"), End()]
    )
    with visiting(browser, tmp_path, model) as visit:
        visit.ask("<img src=x onerror=window.hit=1>")
        expect(visit.replies()).to_contain_text("end of it")
        for _ in range(2):
            expect(visit.replies()).to_have_attribute("aria-busy", "false")
            prose = visit.replies().locator(".prose")

            assert visit.page.evaluate("window.hit") is None
            assert visit.questions() == ["<img src=x onerror=window.hit=1>"]
            assert (
                prose.locator(
                    "img, svg, script, style, iframe, form, input, link, base, meta, object, [onerror], [style], [id]"
                ).count()
                == 0
            )
            links = prose.locator("a").evaluate_all("all => all.map(one => one.getAttribute('href'))")
            assert [link for link in links if not (link or "https:").startswith(("https:", "http:", "mailto:"))] == []
            for rel in prose.locator("a").evaluate_all("all => all.map(one => one.rel)"):
                assert "noopener" in rel
            expect(visit.page.get_by_role("textbox", name="Message")).to_be_visible()
            visit.page.reload()


NAMES = (
    '<img src=x onerror="window.hit=1">.txt',
    "a'\"><script>window.hit=1</script>.md",
    "\u202etxt.exe",
    "x" * 300 + ".txt",
)


def test_a_files_name_is_only_a_name(browser: Browser, tmp_path: Path) -> None:
    with visiting(browser, tmp_path, ScriptedProvider([Text("Yes [1]."), End()])) as visit:
        for number, name in enumerate(NAMES, 1):
            visit.give(name, b"The tide at pier %d is 3.2 metres high." % number, there=number)
        visit.ask("How high is the tide at the piers?")
        sources = visit.replies().get_by_role("region", name="Sources")

        for name in NAMES:
            # Slashes part folders: what stands before the last one is no part of a name. And in a form, browsers write %22
            # for the quotation mark.
            shown = name.replace("\u202e", "").replace('"', "%22").rpartition("/")[2]
            expect(sources).to_contain_text(shown[-12:])
        assert visit.page.evaluate("window.hit") is None
        assert visit.page.locator("main img, main script, form img, form script").count() == 0
        assert "\u202e" not in visit.page.locator("body").inner_text()


def test_what_the_browser_kept_may_be_spoilt(browser: Browser, tmp_path: Path) -> None:
    with visiting(browser, tmp_path) as visit:
        for spoilt in (
            "{",
            "null",
            "7",
            '[1, null, {"id": 1}]',
            '[{"id":"ci_1","title":"<img src=x onerror=window.hit=1>","at":1,"agent":"nobody"}]',
        ):
            visit.page.evaluate("text => localStorage.setItem('rivermouth.conversations', text)", spoilt)
            visit.page.reload()
            expect(visit.page.get_by_role("textbox", name="Message")).to_be_visible()
        visit.ask("Still there?")

        expect(visit.replies()).to_contain_text("Still there?")
        assert visit.page.evaluate("window.hit") is None


def test_an_address_that_leads_nowhere_is_a_new_conversation(browser: Browser, tmp_path: Path) -> None:
    script = "<script>window.hit=1</script>"
    with visiting(browser, tmp_path) as visit:
        for address in ("/#ci_nothing", "/#ci_" + "0" * 32, f"/#{script}", f"/?x={script}"):
            page = visit.tab(address)

            expect(page.get_by_role("heading", name="Ask something")).to_be_visible()
            assert page.evaluate("window.hit") is None
        visit.forgive("status of 404")


def test_a_string_cannot_become_html_by_itself(browser: Browser, tmp_path: Path) -> None:
    with visiting(browser, tmp_path) as visit:
        refused = visit.page.evaluate(
            "() => { try { document.body.innerHTML = '<b>x</b>'; } catch (error) { return error.name; } }"
        )

        assert refused == "TypeError"
        visit.forgive("TrustedHTML")


def test_a_very_long_answer_costs_no_more_at_its_end(browser: Browser, tmp_path: Path) -> None:
    paragraphs = [
        f"Paragraph **{number}** with some `code` and words that go on for a while.\n\n" for number in range(1500)
    ]
    with visiting(browser, tmp_path, ScriptedProvider([*map(Text, paragraphs), Text("end of it"), End()])) as visit:
        visit.page.evaluate("""() => {
            window.drawn = 0;
            const replace = Element.prototype.replaceChildren;
            Element.prototype.replaceChildren = function (...nodes) {
                window.drawn += nodes.reduce((sum, node) => sum + node.textContent.length, 0);
                return replace.apply(this, nodes);
            };
        }""")
        visit.ask("Go on and on")
        expect(visit.replies()).to_contain_text("end of it")
        expect(visit.replies()).to_have_attribute("aria-busy", "false")

        assert visit.page.evaluate("window.drawn") < 3 * sum(map(len, paragraphs))
        assert visit.replies().locator("strong").count() == 1500
