from __future__ import annotations

from rtlab.widgets.xss_in_sandboxed_frames import SandboxedChat, chat_page


def test_a_text_cannot_leave_the_page_s_own_script() -> None:
    page = chat_page(["</script><script>alert(1)</script>"], "textContent")
    assert page.count("</script>") == 1


def test_the_frames_may_run_scripts_and_nothing_else() -> None:
    shown = SandboxedChat(["<b>hi</b>"], ["innerHTML", "textContent"])._repr_html_()  # pyright: ignore[reportPrivateUsage]
    assert shown.count('sandbox="allow-scripts"') == 2
    assert "allow-same-origin" not in shown
