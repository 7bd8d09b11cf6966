# SPDX-License-Identifier: Apache-2.0
"""A real Django mounted under /shop: its admin is logged into by an HTTP client and by a browser."""
import os
import re
import subprocess
import sys

import httpx
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from lib.browser import chromium
from lib.client import fetch
from lib.configs import basic, upstream, with_tls
from lib.wait import PATIENCE, wait_until

SETTINGS = '''
import os
DEBUG = True
SECRET_KEY = "not secret"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
FORCE_SCRIPT_NAME = os.environ.get("FORCE_SCRIPT_NAME")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
STATIC_URL = "static/"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3",
                         "NAME": os.environ["DJANGO_DATABASE"]}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
INSTALLED_APPS = ["django.contrib." + name for name in
                  ("admin", "auth", "contenttypes", "sessions", "messages", "staticfiles")]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware",
              "django.middleware.common.CommonMiddleware",
              "django.middleware.csrf.CsrfViewMiddleware",
              "django.contrib.auth.middleware.AuthenticationMiddleware",
              "django.contrib.messages.middleware.MessageMiddleware"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
              "OPTIONS": {"context_processors": [
                  "django.template.context_processors.request",
                  "django.contrib.auth.context_processors.auth",
                  "django.contrib.messages.context_processors.messages"]}}]
'''

URLS = '''
from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.urls import path, re_path
urlpatterns = [path("admin/", admin.site.urls), re_path("^static/(?P<path>.*)$", serve)]
'''

WSGI = '''
import os
from django.core.wsgi import get_wsgi_application
django = get_wsgi_application()

def application(environ, start_response):
    if os.environ.get("PREFIX_FROM_HEADER"):
        environ["SCRIPT_NAME"] = environ.get("HTTP_X_FORWARDED_PREFIX", "")
    return django(environ, start_response)
'''

PREPARE = '''
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth.models import User
User.objects.create_superuser("ada", password="lovelace")
'''

# How the application learns that it is mounted, if at all.
MOUNTS = {"force_script_name": {"FORCE_SCRIPT_NAME": "/shop"},
          "x_forwarded_prefix": {"PREFIX_FROM_HEADER": "1"}, "unaware": {}}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("django")
    for name, text in (("settings", SETTINGS), ("urls", URLS), ("wsgi", WSGI)):
        (folder / f"{name}.py").write_text(text)
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONDONTWRITEBYTECODE": "1",
           "DJANGO_DATABASE": str(folder / "db.sqlite3")}
    subprocess.run([sys.executable, "-c", PREPARE], cwd=folder, env=env, check=True, timeout=60)
    return folder, env


@pytest.fixture(scope="module")
def mounted(shared, project, authority):
    """A gateway with a site for each way to tell the application that it is under /shop."""
    folder, env = project
    sites, upstreams = [], {}
    for name, more in MOUNTS.items():
        address = f"unix:{folder}/{name}.sock"
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--bind", address, "--threads", "4",
             "--log-level", "warning", "--forwarded-allow-ips", "*", "wsgi:application"],
            cwd=folder, env={**env, **more})
        shared.finally_(process.wait, process.terminate)
        upstreams[name] = upstream({"address": address}, preset="gunicorn-threads")
        sites.append({"hosts": [f"{name.replace('_', '-')}.localhost"],
                      "routes": [{"match": "/shop/*", "strip": "/shop", "to": name}]})
    for name in MOUNTS:
        wait_until((folder / f"{name}.sock").exists, f"{name} to listen", 60, 0.05)
        wait_until(lambda n=name: fetch(f"{folder}/{n}.sock", "/admin/").status == 302,
                   f"{name} to answer", 60)
    config = basic(upstreams=upstreams)
    config["sites"] = sites
    return shared.lintel(with_tls(config, *authority.leaf("*.localhost")))


def base_of(gateway, name):
    """The URL of that site."""
    return f"https://{name.replace('_', '-')}.localhost:{gateway.secure[1]}"


@pytest.mark.parametrize("name", MOUNTS)
def test_the_admin_is_logged_into_under_the_prefix(mounted, name):
    address, port = mounted.secure
    host = f"{name.replace('_', '-')}.localhost:{port}"
    origin = f"https://{address}:{port}"
    with httpx.Client(verify=False, base_url=origin, headers={"Host": host}, trust_env=False,
                      timeout=PATIENCE) as client:
        asked = client.get("/shop/admin/")
        assert asked.status_code == 302
        login = asked.headers["location"]
        prefix = "" if name == "unaware" else "/shop"
        assert login == f"/shop/admin/login/?next={prefix}/admin/"
        page = client.get(login)
        assert page.status_code == 200
        cookie = page.headers["set-cookie"]
        assert "csrftoken=" in cookie and "Path=/shop;" in cookie, cookie
        if prefix:
            assert 'href="/shop/static/admin/css/base.css"' in page.text
            assert f'action="{login}"' in page.text
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text).group(1)
        done = client.post(login, data={"username": "ada", "password": "lovelace",
                                        "csrfmiddlewaretoken": token, "next": f"{prefix}/admin/"},
                           headers={"Referer": f"https://{host}{login}"})
        assert done.status_code == 302, done.text
        assert done.headers["location"] == "/shop/admin/"
        for cookie in done.headers.get_list("set-cookie"):
            assert "Path=/shop" in cookie, cookie
        index = client.get("/shop/admin/")
        assert index.status_code == 200 and "Site administration" in index.text


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.mark.parametrize("name", ["force_script_name", "x_forwarded_prefix"])
def test_a_browser_logs_into_the_admin(mounted, browser, name):
    base = base_of(mounted, name)

    def arrived(path):
        WebDriverWait(browser, PATIENCE).until(lambda d: d.current_url == base + path)

    browser.get(f"{base}/shop/admin/")
    arrived("/shop/admin/login/?next=/shop/admin/")
    browser.find_element(By.NAME, "username").send_keys("ada")
    browser.find_element(By.NAME, "password").send_keys("lovelace")
    browser.find_element(By.CSS_SELECTOR, "input[type=submit]").click()
    arrived("/shop/admin/")
    assert "Site administration" in browser.page_source
    assert {c["name"]: c["path"] for c in browser.get_cookies()} == {"csrftoken": "/shop",
                                                                     "sessionid": "/shop"}
    browser.find_element(By.LINK_TEXT, "Users").click()
    arrived("/shop/admin/auth/user/")
    assert browser.find_element(By.LINK_TEXT, "ada").get_attribute("href").startswith(
        f"{base}/shop/admin/auth/user/1/change/")
    sheets = browser.execute_script(
        "return [...document.styleSheets].map(s => [s.href, s.cssRules.length])")
    assert sheets and all(h.startswith(f"{base}/shop/static/") and n > 0 for h, n in sheets), sheets
    browser.find_element(By.LINK_TEXT, "LOG OUT" if not browser.find_elements(
        By.LINK_TEXT, "Log out") else "Log out").click()
    arrived("/shop/admin/logout/")
    browser.get(f"{base}/shop/admin/")
    arrived("/shop/admin/login/?next=/shop/admin/")
