"""The command line's exit status."""

import server.__main__ as command


def test_a_command_that_is_cut_off_says_so(monkeypatch, capsys):
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run_migrate", interrupted)

    assert command.main(["migrate"]) == 130
    assert capsys.readouterr().err == "interrupted before it was done\n"
