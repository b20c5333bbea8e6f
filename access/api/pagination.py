"""Lists are cut: `?limit=&offset=`."""

from rest_framework.pagination import LimitOffsetPagination


class ApiPagination(LimitOffsetPagination):
    """100 at once unless asked, 1,000 at the most."""

    default_limit = 100
    max_limit = 1000
