"""What makes a database unfit to serve a relay."""

from relay.connection import primary_of_several, too_old, unfit, where


def test_postgresql_older_than_14_is_refused() -> None:
    assert too_old(130014)
    assert not too_old(140000)
    assert "PostgreSQL 13 is too old" in str(unfit(130014, direct=True))


def test_a_pooler_is_refused_with_its_mend() -> None:
    assert "pooler" in str(unfit(150000, direct=False))
    assert unfit(150000, direct=True) is None


def test_a_place_is_named_without_its_password() -> None:
    assert where("postgresql://me:secret@db.example:5433/shop") == "db.example:5433/shop"
    assert "secret" not in where("postgresql://me:secret@[/shop")
    assert where("postgresql://a,b/shop") == "a:5432,b:5432/shop"
    assert where("postgresql://a:1,b:2/shop") == "a:1,b:2/shop"


def test_of_several_servers_the_primary_is_asked_for_unless_the_url_says_which() -> None:
    assert primary_of_several("postgresql://a/shop") == {}
    assert primary_of_several("postgresql://a,b/shop") == {"target_session_attrs": "primary"}
    assert primary_of_several("postgresql://a,b/shop?target_session_attrs=read-write") == {}
